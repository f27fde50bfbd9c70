//go:build !js

package demo

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/listener"
	"github.com/mqttdb/mqttdb/types"
)

// upstream is the demo broker: it takes everything, remembers nothing but which
// of the sensor's numbers it has seen, and can be made unreachable.
type upstream struct {
	addr, prefix string // of the readings that it counts

	mu        sync.Mutex
	server    *listener.Server // nil while the link is cut
	seen      map[uint64]bool
	highest   uint64
	twice     int
	disorder  int
	delivered int
}

func newUpstream(ctx context.Context, prefix string) (*upstream, error) {
	addr, err := freePort(1893, "")
	if err != nil {
		return nil, err
	}
	u := &upstream{addr: addr, prefix: prefix, seen: make(map[uint64]bool)}
	return u, u.restore(ctx)
}

// Publish implements listener.Sink.
func (u *upstream) Publish(messages []types.Passage, _ func()) int {
	u.mu.Lock()
	for i := range messages {
		u.delivered++
		m := &messages[i].Message
		if text, ok := strings.CutPrefix(string(m.Payload), u.prefix); ok && m.Topic == readingTopic {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil {
				u.saw(n)
			}
		}
	}
	u.mu.Unlock()
	for i := range messages {
		messages[i].Done(nil)
	}
	return len(messages)
}

// saw counts a number of the sensor.
func (u *upstream) saw(n uint64) {
	switch {
	case u.seen[n]:
		u.twice++
	case n < u.highest:
		u.disorder++
	}
	u.seen[n] = true
	u.highest = max(u.highest, n)
}

// report says what arrived, and whether that is all there was to the highest
// number.
func (u *upstream) report() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	missing := u.highest - uint64(len(u.seen))
	s := fmt.Sprintf("%d received, %d missing, %d out of order, %d twice", u.delivered, missing, u.disorder, u.twice)
	if u.server == nil {
		s += " (CUT)"
	}
	return s
}

func (u *upstream) up() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.server != nil
}

// cut makes the broker unreachable at once.
func (u *upstream) cut() {
	u.mu.Lock()
	server := u.server
	u.server = nil
	u.mu.Unlock()
	if server != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // at once
		_ = server.Close(ctx)
	}
}

// restore makes it reachable again, at the same address.
func (u *upstream) restore(ctx context.Context) error {
	server, err := listener.Listen(ctx, listener.Options{
		Endpoints: []listener.Endpoint{{Addr: u.addr}}, MaxMessageSize: 8 << 20, Logger: slog.New(slog.DiscardHandler), Sink: u,
	})
	if err != nil {
		return fmt.Errorf("the demo broker: %w", err)
	}
	u.mu.Lock()
	u.server = server
	u.mu.Unlock()
	return nil
}
