package listener

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Local is what a Server and a runtime share: who has subscribed to what, and
// what is retained. It is there before both, so that nothing which the runtime
// brings comes too early. Its methods may be called concurrently.
type Local struct {
	topics topics
	log    *slog.Logger
	logged logged
}

var _ runtime.Local = (*Local)(nil)

// NewLocal returns a Local for the Options of a runtime, which stores what is
// retained, and then of a Server. logger may be nil.
func NewLocal(logger *slog.Logger) *Local {
	l := newLocal(logger)
	l.topics.stored = true
	return l
}

func newLocal(logger *slog.Logger) *Local {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Local{log: logger}
}

// Deliver gives m to the online local subscribers of its topic that get it live,
// and, if it is retained and nobody stores that, keeps it for later ones. It does
// not wait for any of them. m was checked (types.Message.Check).
func (l *Local) Deliver(m types.Message) { l.route(&m, nil) }

// route is Deliver for a message of a local client.
func (l *Local) route(m *types.Message, from *session) {
	if !l.topics.route(m, from) {
		l.noRoom(m.Topic)
	}
}

// Counts implements runtime.Local.
func (l *Local) Counts(m types.Message) bool {
	l.topics.mu.RLock()
	room := l.topics.hasRoom(&m)
	counts := room || l.topics.replaces(&m)
	l.topics.mu.RUnlock()
	if !room {
		l.noRoom(m.Topic)
	}
	return counts
}

func (l *Local) noRoom(topic string) {
	if l.logged.first("retained messages", time.Now()) {
		l.log.Warn("a retained message is delivered, but not kept for later subscribers",
			"topic", topic, "reason", fmt.Sprintf("at most %d messages with %d bytes are kept, in at most %d levels", maxRetained, maxRetainedBytes, types.MaxLevels))
	}
}

// Retain implements runtime.Local.
func (l *Local) Retain(seq types.Seq, m types.Message, since time.Time) []types.Seq {
	l.topics.mu.Lock()
	defer l.topics.mu.Unlock()
	return l.topics.retain(seq, &m, since)
}
