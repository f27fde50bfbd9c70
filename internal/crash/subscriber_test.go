//go:build unix

package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"testing"
	"time"
)

// subscriber is at the far end: a client with a session that is kept, so that
// nothing passes it by. What it is given it writes into the ledger, and into
// special what is not of the load.
type subscriber struct {
	t      testing.TB
	ledger *ledger
	at     subscription
	cancel context.CancelFunc
	done   chan struct{}
	seed   maphash.Seed
	last   map[uint16]uint64 // packet id → what arrived under it last
	open   map[uint16]bool   // QoS 2 ids without PUBREL

	mu      sync.Mutex
	special []message
	greeted bool // it has a session
	visits  int  // connections on which it listened
	again   int  // deliveries that the broker repeated by itself
}

// subscription is where a subscriber listens, and how.
type subscription struct {
	target func(context.Context) (string, error) // the address
	qos    byte
	strict bool // what comes again counts, also with DUP: the other side is what is tested
}

const subscriberID = "far-end"

// subscribe starts a subscriber of a real broker.
func subscribe(t testing.TB, l *ledger, addr string) *subscriber {
	t.Helper()
	return subscribeAt(t, l, subscription{target: steadily(addr), qos: 1})
}

// steadily is an address that stays.
func steadily(addr string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return addr, nil }
}

// subscribeAt starts a subscriber and waits until its session is kept.
func subscribeAt(t testing.TB, l *ledger, at subscription) *subscriber {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscriber{
		t: t, ledger: l, at: at, cancel: cancel, done: make(chan struct{}),
		seed: maphash.MakeSeed(), last: make(map[uint16]uint64), open: make(map[uint16]bool),
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
	addr, err := s.at.target(ctx)
	if err != nil {
		return nil
	}
	c, present, err := connect(ctx, addr, subscriberID, false)
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
		body, err := c.ask(packet(0x82, []byte{0, 1}, text("#"), []byte{s.at.qos}), subackType)
		if err != nil || len(body) != 3 || body[2] != s.at.qos {
			return fmt.Errorf("SUBSCRIBE: %x %v", body, err)
		}
		s.mu.Lock()
		s.greeted = true
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.visits++
	s.mu.Unlock()
	s.ledger.changed.tell()
	return s.read(c)
}

// visited is how many connections there were on which it listened.
func (s *subscriber) visited() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visits
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
		if first == pubrelType && len(body) == 2 {
			id := binary.BigEndian.Uint16(body)
			delete(s.open, id)
			c.w.Write(ackPacket(pubcompType, id))
			continue
		}
		m, err := parsePublish(first, body)
		if first&0xf0 != publishType || err != nil {
			return fmt.Errorf("packet %#x with %d bytes: %v", first, len(body), err)
		}
		switch m.first & 6 {
		case 0:
			s.take(m)
		case qos1Flag:
			s.take(m)
			c.w.Write(pubackPacket(m.id))
		case qos2Flag:
			if !s.open[m.id] {
				s.take(m)
			} else if m.first&dupFlag == 0 {
				return fmt.Errorf("packet id %d is used for a new message before its PUBREL", m.id)
			}
			s.open[m.id] = true
			c.w.Write(ackPacket(pubrecType, m.id))
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
	if m.first&dupFlag != 0 && known && before == sum && !s.at.strict {
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
