package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// stall is a Store whose answers the test gives.
type stall struct {
	calls chan storing

	mu    sync.Mutex
	room  int // for so many more messages; less than 0: for all
	tells func()
}

type storing struct {
	payload string
	number  uint64
	done    func(error)
}

func newStall(room int) *stall { return &stall{room: room, calls: make(chan storing, 1000)} }

func (s *stall) store(m types.Message, number uint64, done func(error), room func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == 0 {
		s.tells = room
		return false
	}
	s.room--
	s.calls <- storing{string(m.Payload), number, done}
	return true
}

// open has room for all from now on.
func (s *stall) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = -1
	s.tells()
}

// alarmClock says when a timer is set.
type alarmClock struct {
	*testClock
	set chan time.Duration
}

func (c *alarmClock) AfterFunc(d time.Duration, f func()) func() {
	defer func() { c.set <- d }()
	return c.testClock.AfterFunc(d, f)
}

// holdLink is an ackLink that can be held.
type holdLink struct {
	*ackLink
	holds chan bool
}

func (l *holdLink) Hold(on bool) { l.holds <- on }

func inboundMessages(qos types.QoS, payloads string) []broker.Inbound {
	var list []broker.Inbound
	for i, p := range strings.Split(payloads, "") {
		list = append(list, broker.Inbound{ID: uint16(i + 1), Message: types.Message{Topic: "t", QoS: qos, Payload: []byte(p)}})
	}
	return list
}

func (s *stall) take(t *testing.T, payload string) storing {
	t.Helper()
	c := receive(t, s.calls, "a message to be stored")
	if c.payload != payload {
		t.Fatalf("%q is to be stored, want %q", c.payload, payload)
	}
	return c
}

func spawnInbound(t *testing.T, c InboundConfig) *Inbound {
	t.Helper()
	c.Name = "in"
	in, err := SpawnInbound(newTestSystem(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, in.Ref) })
	return in
}

// S2.4, [MQTT-4.6.0-2]: what is to be stored is acknowledged and delivered behind
// its commit, in the order of its arrival, whatever the order of the commits.
func TestInboundAcknowledgesInOrder(t *testing.T) {
	s := newStall(-1)
	delivered := make(chan string, 10)
	in := spawnInbound(t, InboundConfig{Store: s.store, Deliver: func(m types.Message) { delivered <- string(m.Payload) }})
	l := newAckLink()
	in.Tell(Arrived{l, inboundMessages(1, "abc")})
	a, b, c := s.take(t, "a"), s.take(t, "b"), s.take(t, "c")
	if a.number != 1 || b.number != 2 || c.number != 3 {
		t.Errorf("numbers %d, %d, %d", a.number, b.number, c.number)
	}
	c.done(nil)
	b.done(nil)
	if n := len(delivered) + len(l.acks); n > 0 {
		t.Error("answered before the first was stored")
	}
	a.done(nil)
	want := []broker.Ack{{ID: 1}, {ID: 2}, {ID: 3}}
	var got []broker.Ack
	for len(got) < 3 {
		got = append(got, receive(t, l.acks, "acknowledgements")...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("acknowledged %v", got)
	}
	for _, w := range []string{"a", "b", "c"} {
		if d := receive(t, delivered, "a delivery"); d != w {
			t.Errorf("delivered %q, want %q", d, w)
		}
	}
}

// S8.1: messages wait for room, PUBREL does not; and beyond a bound nothing more
// is read until there is room again.
func TestInboundWithoutRoom(t *testing.T) {
	s := newStall(1)
	in := spawnInbound(t, InboundConfig{Store: s.store, MaxHeld: 3 * (arrivalSize + 18)})
	l := &holdLink{newAckLink(), make(chan bool, 10)}
	in.Tell(Arrived{l, inboundMessages(2, "abc")})
	a := s.take(t, "a")
	in.Tell(Arrived{l, []broker.Inbound{{Kind: broker.Release, ID: 99}}})
	if acks := receive(t, l.acks, "the answer to PUBREL"); !slices.Equal(acks, []broker.Ack{{Kind: broker.PubComp, ID: 99}}) {
		t.Errorf("acknowledged %v", acks)
	}
	if len(l.holds) > 0 {
		t.Error("held up below the bound")
	}
	in.Tell(Arrived{l, inboundMessages(0, "d")})
	if on := receive(t, l.holds, "the link to be held up"); !on {
		t.Error("the link was let go")
	}
	a.done(nil)
	receive(t, l.acks, "the first PUBREC")
	s.open()
	for _, p := range []string{"b", "c", "d"} {
		s.take(t, p).done(nil)
	}
	if on := receive(t, l.holds, "the link to go on"); on {
		t.Error("the link was held up again")
	}
}

// What cannot be stored is not acknowledged; it is stored again, before what came
// behind it and keeps its number.
func TestInboundStoresAgain(t *testing.T) {
	s := newStall(-1)
	clock := &alarmClock{newTestClock(), make(chan time.Duration, 10)}
	delivered := make(chan string, 10)
	in := spawnInbound(t, InboundConfig{Store: s.store, Clock: clock, RetryAfter: time.Minute, Deliver: func(m types.Message) { delivered <- string(m.Payload) }})
	l := newAckLink()
	in.Tell(Arrived{l, inboundMessages(1, "abcd")})
	a, b, c, d := s.take(t, "a"), s.take(t, "b"), s.take(t, "c"), s.take(t, "d")
	b.done(errors.New("disk full"))
	in.Tell(Arrived{l, inboundMessages(1, "e")})
	d.done(errors.New("disk full"))
	a.done(nil)
	receive(t, l.acks, "the first acknowledgement")
	c.done(nil) // it may have been stored by another commit
	receive(t, clock.set, "the wait before another attempt")
	if len(s.calls) > 0 {
		t.Errorf("%q was stored at once", (<-s.calls).payload)
	}
	clock.advance(time.Minute)
	again := s.take(t, "b")
	if again.number != b.number {
		t.Errorf("the number is %d, it was %d", again.number, b.number)
	}
	again.done(nil)
	s.take(t, "d").done(nil)
	s.take(t, "e").done(nil)
	text := ""
	for range 5 {
		text += receive(t, delivered, "a delivery")
	}
	if text != "abcde" {
		t.Errorf("delivered %q", text)
	}
}

// A broker that has kept the session sends again what waits; what is being stored
// is neither acknowledged on the new link nor forgotten.
func TestInboundNewLink(t *testing.T) {
	for _, present := range []bool{true, false} {
		t.Run(fmt.Sprint("session present: ", present), func(t *testing.T) {
			s := newStall(1)
			delivered := make(chan string, 10)
			in := spawnInbound(t, InboundConfig{Store: s.store, Deliver: func(m types.Message) { delivered <- string(m.Payload) }})
			old, next := newAckLink(), newAckLink()
			in.Tell(Linked{Link: old, Present: false})
			in.Tell(Arrived{old, inboundMessages(2, "abc")})
			a := s.take(t, "a")
			in.Tell(Linked{Link: next, Present: present})
			again := inboundMessages(2, "abc")
			for i := range again {
				again[i].Dup = true
			}
			in.Tell(Arrived{next, again})
			in.Tell(Arrived{next, []broker.Inbound{{Kind: broker.Release, ID: 99}}}) // all before it was taken
			receive(t, next.acks, "the answer to PUBREL")
			s.open()
			a.done(nil)
			// If the session is another one these are other messages.
			want := map[bool]string{true: "bc", false: "bcabc"}[present]
			for _, p := range strings.Split(want, "") {
				s.take(t, p).done(nil)
			}
			got := ""
			for range 1 + len(want) {
				got += receive(t, delivered, "a delivery")
			}
			if got != "a"+want {
				t.Errorf("delivered %q, want %q", got, "a"+want)
			}
			acks := 0
			for acks < 3 {
				acks += len(receive(t, next.acks, "the PUBRECs"))
			}
			if acks != 3 {
				t.Errorf("%d PUBRECs on the new link", acks)
			}
		})
	}
}

// An actor that failed acknowledges nothing of what it had: the broker sends it
// again, also at QoS 2, where it is not taken for a repeat.
func TestInboundFailsWhileStoring(t *testing.T) {
	s := newStall(-1)
	in := spawnInbound(t, InboundConfig{Store: s.store})
	l := newAckLink()
	in.Tell(Arrived{l, inboundMessages(2, "a")})
	a := s.take(t, "a")
	in.Kill()
	receive(t, l.closed, "the end of the link")
	a.done(nil)
	again := newAckLink()
	in.Tell(Linked{Link: again, Present: true})
	dup := inboundMessages(2, "a")
	dup[0].Dup = true
	in.Tell(Arrived{again, dup})
	s.take(t, "a").done(nil)
	if acks := receive(t, again.acks, "PUBREC"); !slices.Equal(acks, []broker.Ack{{Kind: broker.PubRec, ID: 1}}) {
		t.Errorf("acknowledged %v", acks)
	}
	if len(l.acks) > 0 {
		t.Error("acknowledged on the link that was given up")
	}
}
