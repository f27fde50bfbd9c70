//go:build unix

package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"testing"
	"time"
)

// subscriber is at the far end: a client of the real broker with a session that
// the broker keeps, so that nothing passes it by. What it is given it writes
// into the ledger, and into special what is not of the load.
type subscriber struct {
	t      testing.TB
	ledger *ledger
	addr   string
	cancel context.CancelFunc
	done   chan struct{}
	seed   maphash.Seed
	last   map[uint16]uint64 // packet id → what arrived under it last

	mu      sync.Mutex
	special []message
	greeted bool // it has a session
	again   int  // deliveries that the broker repeated by itself
}

const subscriberID = "far-end"

// subscribe starts a subscriber and waits until the broker keeps its session.
func subscribe(t testing.TB, l *ledger, addr string) *subscriber {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscriber{
		t: t, ledger: l, addr: addr, cancel: cancel, done: make(chan struct{}),
		seed: maphash.MakeSeed(), last: make(map[uint16]uint64),
	}
	go s.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-s.done
	})
	await(t, &l.changed, "the subscription", func() bool {
		if complaints := l.complaints(); complaints != "" {
			t.Fatal(complaints)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.greeted
	})
	return s
}

// run connects whenever the broker is there.
func (s *subscriber) run(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		if err := s.session(ctx); err != nil && ctx.Err() == nil {
			s.ledger.fault("the subscriber", err)
			return
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// session reads until the connection breaks. An error is the end of the test.
func (s *subscriber) session(ctx context.Context) error {
	c, present, err := connect(ctx, s.addr, subscriberID, false)
	if err != nil {
		return nil // it is down
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	s.mu.Lock()
	first := !s.greeted
	s.mu.Unlock()
	switch {
	case !first && !present:
		return errors.New("the broker forgot the session")
	case first:
		body, err := c.ask(subscribePacket(1, "#"), subackType)
		if err != nil || len(body) != 3 || body[2] != 1 {
			return fmt.Errorf("SUBSCRIBE: %x %v", body, err)
		}
		s.mu.Lock()
		s.greeted = true
		s.mu.Unlock()
		s.ledger.changed.tell()
	}
	return s.read(c)
}

func (s *subscriber) read(c *client) error {
	for {
		if c.r.Buffered() == 0 && c.w.Flush() != nil {
			return nil
		}
		first, body, err := c.read()
		if err != nil {
			return nil
		}
		m, err := parsePublish(first, body)
		if first&0xf0 != publishType || err != nil {
			return fmt.Errorf("packet %#x with %d bytes: %v", first, len(body), err)
		}
		s.take(m)
		if _, err := c.w.Write(pubackPacket(m.id)); err != nil {
			return nil
		}
	}
}

// take writes a message into the ledger, unless the broker sends it again. For
// that it sets DUP; what the gateway sends twice is two messages to the broker
// and comes without [MQTT-3.3.1-3].
func (s *subscriber) take(m message) {
	sum := maphash.Comparable(s.seed, struct{ topic, payload string }{m.topic, string(m.payload)})
	before, known := s.last[m.id]
	s.last[m.id] = sum
	if m.first&dupFlag != 0 && known && before == sum {
		s.mu.Lock()
		s.again++
		s.mu.Unlock()
		return
	}
	if len(m.topic) >= len(topicPrefix) && m.topic[:len(topicPrefix)] == topicPrefix {
		s.ledger.arrived(m.topic, m.payload)
		return
	}
	s.mu.Lock()
	s.special = append(s.special, m)
	s.mu.Unlock()
	s.ledger.changed.tell()
}

// specials are the messages that are not of the load, in the order in which
// they arrived.
func (s *subscriber) specials() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]message(nil), s.special...)
}
