package mqtt

import (
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	// gatherShare is which part of the messages under way must have their PUBACK
	// before that is told: one in so many.
	gatherShare = 4

	// gatherTime is how long a PUBACK is kept back at most, and how long ago others
	// must have been told at most for one to be kept back.
	gatherTime = time.Millisecond
)

// gathering keeps PUBACKs back while the broker has plenty of messages to work on.
// mosquitto writes each by itself, and a link that has nothing else to do reads each
// by itself; but what follows (that the message has left is recorded, the next goes
// out) costs as much for one as for twenty-five. With at most gatherShare messages
// under way each is told at once, and so are those that the broker does not follow up
// within gatherTime, or that this process has not come to read for so long: where
// processors are short a reader waits for its turn, and the broker for messages.
type gathering struct {
	underWay atomic.Int64 // QoS 1: handed over, and their PUBACK not told

	// While telling is held:
	kept  []broker.Ack
	timer *time.Timer // tells them; nil: nothing was ever kept back
	last  time.Time   // when acknowledgements were told last
}

// tellAcks tells acknowledgements that have arrived, behind those that were kept
// back, or keeps them back as well. Only a PUBACK can wait.
func (l *link) tellAcks(acks []broker.Ack) {
	l.telling.Lock()
	defer l.telling.Unlock()
	g := &l.gathering
	waiting := len(g.kept) > 0
	g.kept = append(g.kept, acks...)
	if !onlyPubAcks(acks) || gatherShare*int64(len(g.kept)) >= g.underWay.Load() || time.Since(g.last) >= gatherTime {
		if waiting {
			g.timer.Stop()
		}
		l.tellKept()
		return
	}
	switch {
	case waiting:
	case g.timer == nil:
		g.timer = time.AfterFunc(gatherTime, func() {
			l.telling.Lock()
			defer l.telling.Unlock()
			l.tellKept()
		})
	default:
		g.timer.Reset(gatherTime)
	}
}

// tellKept tells what was kept back. telling is held.
func (l *link) tellKept() {
	g := &l.gathering
	if len(g.kept) == 0 || l.told {
		return
	}
	acks := g.kept
	g.kept = make([]broker.Ack, 0, len(acks)) // whoever is told them has them
	for _, a := range acks {
		if a.Kind == broker.PubAck {
			g.underWay.Add(-1)
		}
	}
	g.last = time.Now()
	l.events(broker.Acked{Acks: acks})
}

func onlyPubAcks(acks []broker.Ack) bool {
	for _, a := range acks {
		if a.Kind != broker.PubAck {
			return false
		}
	}
	return true
}
