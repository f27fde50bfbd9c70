//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// faults are what can happen to the messages 0…9 of producer 3 on their way, and
// what a ledger must say then: a ledger that sees nothing proves nothing.
var faults = []struct {
	name string
	way  func([]parcel) []parcel
	want [5]int // damaged, misplaced, doubled, reordered, missing
}{
	{name: "none", way: func(p []parcel) []parcel { return p }},
	{name: "lost", way: func(p []parcel) []parcel { return append(p[:4], p[5:]...) }, want: [5]int{0, 0, 0, 0, 1}},
	{name: "the last lost", way: func(p []parcel) []parcel { return p[:9] }, want: [5]int{0, 0, 0, 0, 1}},
	{name: "all lost", way: func([]parcel) []parcel { return nil }, want: [5]int{0, 0, 0, 0, 10}},
	{name: "doubled", way: func(p []parcel) []parcel { return append(p, p[9], p[2]) }, want: [5]int{0, 0, 2, 0, 0}},
	{name: "reordered", way: func(p []parcel) []parcel { p[4], p[5] = p[5], p[4]; return p }, want: [5]int{0, 0, 0, 1, 0}},
	{name: "one held back", way: func(p []parcel) []parcel { return append(p[1:], p[0]) }, want: [5]int{0, 0, 0, 1, 0}},
	{name: "a bit", way: func(p []parcel) []parcel { p[3].payload[100] ^= 1; return p }, want: [5]int{1, 0, 0, 0, 1}},
	{name: "the number", way: func(p []parcel) []parcel { p[3].payload[4] = 8; return p }, want: [5]int{1, 0, 0, 0, 1}},
	{name: "cut off", way: func(p []parcel) []parcel { p[3].payload = p[3].payload[:199]; return p }, want: [5]int{1, 0, 0, 0, 1}},
	{name: "nothing in it", way: func(p []parcel) []parcel { p[3].payload = nil; return p }, want: [5]int{1, 0, 0, 0, 1}},
	{name: "another topic", way: func(p []parcel) []parcel { p[3].topic = "bench/4"; return p }, want: [5]int{0, 1, 0, 0, 0}},
}

type parcel struct {
	topic   string
	payload []byte
}

func parcels() (p []parcel) {
	for n := range uint64(10) {
		payload := make([]byte, protocol.Size)
		protocol.Fill(payload, 3, n)
		p = append(p, parcel{protocol.Topic(3), payload})
	}
	return p
}

func TestLedgerSeesEachFault(t *testing.T) {
	for _, test := range faults {
		t.Run(test.name, func(t *testing.T) {
			l := newLedger()
			for _, p := range test.way(parcels()) {
				l.enter(p.topic, p.payload, time.Now())
			}
			l.expect(t, test.want)
		})
	}
}

// expect compares a ledger with what it must say of ten messages of producer 3.
func (l *ledger) expect(t *testing.T, want [5]int) {
	t.Helper()
	missing := l.missing(nil, []uint64{0, 0, 0, 10})
	if got := [5]int{l.damaged, l.misplaced, l.doubled, l.reordered, missing}; got != want {
		t.Errorf("damaged, misplaced, doubled, reordered, missing: %v, not %v", got, want)
	}
}

// The same faults, through the broker and the subscriber of the bench.
func TestSubscriberSeesEachFault(t *testing.T) {
	u, err := newUpstream(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range faults {
		t.Run(test.name, func(t *testing.T) {
			if err := u.forget(); err != nil {
				t.Fatal(err)
			}
			if err := u.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer u.stop()
			c, err := connect(u.addr, "faulty")
			if err != nil {
				t.Fatal(err)
			}
			defer c.conn.Close()
			end := make([]byte, protocol.Size)
			protocol.Fill(end, 5, 0)
			for _, p := range append(test.way(parcels()), parcel{protocol.Topic(5), end}) {
				packet := []byte{0x30, 0, 0, 0, byte(len(p.topic))}
				size := 2 + len(p.topic) + len(p.payload)
				packet[1], packet[2] = byte(size)|128, byte(size>>7)
				if _, err := c.conn.Write(append(append(packet, p.topic...), p.payload...)); err != nil {
					t.Fatal(err)
				}
			}
			arrived := 10 - test.want[4] + 1
			if err := u.subscriber.await(t.Context(), arrived, 20*time.Second, 20*time.Second); err != nil {
				t.Fatal(err)
			}
			// What came last was sent last.
			u.subscriber.look(func(l *ledger) {
				if l.producers[5] == nil {
					t.Error("the end has not come")
				}
				l.expect(t, test.want)
			})
		})
	}
}

// What comes while the subscriber is not there yet waits for it.
func TestSubscriberMissesNothing(t *testing.T) {
	u, err := newUpstream(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := startMosquitto(t.Context(), u.dir, u.addr, u.lines()...)
	if err != nil {
		t.Fatal(err)
	}
	defer m.stop()
	order := protocol.Order{Producers: 4, Window: 20, Messages: 5000}
	a, err := publishOrder(u.addr, order)
	if err != nil || a.Stored != order.Messages {
		t.Fatalf("%+v, %v", a, err)
	}
	s, err := startSubscriber(u.addr, u.ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if err := s.await(t.Context(), order.Messages, 20*time.Second, 20*time.Second); err != nil {
		t.Error(err)
	}
	s.look(func(l *ledger) {
		if n := l.missing(nil, a.Next); n != 0 || l.doubled+l.reordered+l.damaged+l.misplaced != 0 {
			t.Errorf("%d are missing: %+v", n, l)
		}
	})
	if err := s.await(t.Context(), order.Messages+1, time.Millisecond, time.Minute); err != errQuiet {
		t.Errorf("that there is nothing more is told with %v", err)
	}
}
