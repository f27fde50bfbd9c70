package actors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// sender is a broker that sends messages to us and keeps the session: what was
// not acknowledged it sends again on the next link, as mosquitto does.
type sender struct {
	t      *testing.T
	window int

	mu       sync.Mutex
	waiting  []types.Message
	flying   []*flight
	finished []*flight // on this link, the latest, the oldest first
	lastID   uint16    // rises, and is never used again
	link     *senderLink
	number   int  // of links
	forgets  bool // sends again, with DUP, what was completed on the last link

	// dies says, of what is about to reach the broker, whether we die before that
	// or behind it.
	dies func(broker.Ack) (before, behind bool)
	kill func()
	done chan struct{} // told when everything is acknowledged
	down chan struct{} // told when a link is cut
}

// flight is a message on its way to us.
type flight struct {
	id       uint16
	message  types.Message
	released bool
}

type senderLink struct {
	broker.Link
	s      *sender
	number int
	in     *Inbound
}

func newSender(t *testing.T, qos types.QoS, payloads ...string) *sender {
	s := &sender{t: t, window: 20, done: make(chan struct{}, 1), down: make(chan struct{}, 1)}
	for _, p := range payloads {
		s.waiting = append(s.waiting, types.Message{Topic: "t/" + p, QoS: qos, Payload: []byte(p)})
	}
	return s
}

// connect makes a link to in.
func (s *sender) connect(in *Inbound, present bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	s.link = &senderLink{s: s, number: s.number, in: in}
	in.Tell(Linked{Link: s.link, Present: present})
	var list []broker.Inbound
	if s.forgets {
		for _, f := range s.finished {
			f.released = false
		}
		s.flying = append(s.finished, s.flying...)
	}
	s.finished = nil
	for _, f := range s.flying {
		if f.released {
			list = append(list, broker.Inbound{Kind: broker.Release, ID: f.id})
		} else {
			list = append(list, broker.Inbound{ID: f.id, Dup: true, Message: f.message})
		}
	}
	s.push(list)
}

// push sends list and what there is room for behind it.
func (s *sender) push(list []broker.Inbound) {
	for len(s.flying) < s.window && len(s.waiting) > 0 {
		m := s.waiting[0]
		s.waiting = s.waiting[1:]
		if m.QoS == 0 {
			list = append(list, broker.Inbound{Message: m})
			continue
		}
		s.lastID++
		f := &flight{id: s.lastID, message: m}
		s.flying = append(s.flying, f)
		list = append(list, broker.Inbound{ID: f.id, Message: f.message})
	}
	if len(list) > 0 {
		s.link.in.Tell(Arrived{s.link, list})
	}
	if len(s.flying) == 0 && len(s.waiting) == 0 {
		select {
		case s.done <- struct{}{}:
		default:
		}
	}
}

func (l *senderLink) Close(bool) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.cut(l)
}

// cut ends a link, if it is the present one.
func (s *sender) cut(l *senderLink) {
	if s.link != l || l == nil {
		return
	}
	s.link = nil
	select {
	case s.down <- struct{}{}:
	default:
	}
}

func (l *senderLink) Acknowledge(acks []broker.Ack) error {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []broker.Inbound
	for _, a := range acks {
		if s.link != l {
			return types.ErrClosed
		}
		before, behind := false, false
		if s.dies != nil {
			before, behind = s.dies(a)
		}
		if before {
			s.link = nil
			s.kill()
			return types.ErrClosed
		}
		if again, ok := s.acknowledged(a); ok {
			list = append(list, again)
		}
		if behind {
			s.link = nil
			s.kill()
			return types.ErrClosed
		}
	}
	s.push(list)
	return nil
}

// acknowledged takes an acknowledgement, and returns the PUBREL that follows it.
func (s *sender) acknowledged(a broker.Ack) (next broker.Inbound, ok bool) {
	i := slices.IndexFunc(s.flying, func(f *flight) bool { return f.id == a.ID })
	switch {
	case i < 0:
		s.t.Errorf("link %d: %v for id %d, which is not in flight", s.number, a.Kind, a.ID)
	case a.Kind == broker.PubRec:
		s.flying[i].released = true
		return broker.Inbound{Kind: broker.Release, ID: a.ID}, true
	case a.Kind == broker.PubComp && !s.flying[i].released, (a.Kind == broker.PubAck) != (s.flying[i].message.QoS == 1):
		s.t.Errorf("link %d: %v for id %d, which is not what it waits for", s.number, a.Kind, a.ID)
	default:
		if a.Kind == broker.PubComp {
			s.finished = append(s.finished, s.flying[i])
		}
		if len(s.finished) > s.window {
			s.finished = s.finished[1:]
		}
		s.flying = slices.Delete(s.flying, i, i+1)
	}
	return next, false
}

// receivingHouse is an inbound with its queue, on a store that can be killed.
type receivingHouse struct {
	t     *testing.T
	store *testStore
	in    *Inbound
	queue *Queue
	bell  *bell // rings when something of the queue has changed
	dead  chan struct{}
	once  *sync.Once
}

func newReceivingHouse(t *testing.T) *receivingHouse {
	h := &receivingHouse{t: t, store: newTestStore()}
	h.start()
	return h
}

func (h *receivingHouse) start() {
	sys := newTestSystem(h.t)
	h.dead, h.once = make(chan struct{}), &sync.Once{}
	h.queue, h.bell = startQueue(h.t, sys, h.store, nil)
	in, err := SpawnInbound(sys, InboundConfig{Name: "in", Queue: h.queue, RetryAfter: 2 * time.Millisecond})
	if err != nil {
		h.t.Fatal(err)
	}
	h.in = in
	h.t.Cleanup(func() { stop(h.t, in.Ref) })
}

// die is the death of the process: nothing more reaches the store. It may be
// called by any goroutine of it.
func (h *receivingHouse) die() {
	dead, once := h.dead, h.once
	once.Do(func() {
		h.store = h.store.kill()
		close(dead)
	})
}

// stored reads everything that was stored.
func (h *receivingHouse) stored() []types.Message {
	h.t.Helper()
	var list []types.Message
	for after := types.Seq(0); ; {
		f := fetchAll(h.t, h.queue, after)
		for _, r := range f.Records {
			list = append(list, r.Message)
		}
		if after = f.Through; after >= f.Last {
			return list
		}
	}
}

func payloadsOf(list []types.Message) string {
	var out []string
	for _, m := range list {
		out = append(out, string(m.Payload))
	}
	return strings.Join(out, " ")
}

func counted(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// S4.1: {message + packet id} is committed before PUBACK and PUBREC, the release
// before PUBCOMP; many at a time.
func TestReceiving(t *testing.T) {
	for _, qos := range []types.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			h := newReceivingHouse(t)
			s := newSender(t, qos, counted(200)...)
			s.connect(h.in, false)
			receive(t, s.done, "all to be acknowledged")
			if got, want := payloadsOf(h.stored()), strings.Join(counted(200), " "); got != want {
				t.Errorf("stored %s", got)
			}
			if open := openIDs(t, h.queue); open != 0 {
				t.Errorf("%d ids are open", open)
			}
		})
	}
}

// openIDs is how many packet ids are stored as open.
func openIDs(t *testing.T, q *Queue) (open int) {
	t.Helper()
	marks, err := Ask(t.Context(), q.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{PacketMark, r} })
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range marks.List {
		if m.Key != markLastPacket && m.Value[0] == packetOpen {
			open++
		}
	}
	return open
}

// S4.1, S4.2: the process dies at each point of the handshake, again and again:
// every message is stored once, in order.
func TestReceivingSurvivesDeath(t *testing.T) {
	const count = 120
	isDone := func(c persistence.Commit) bool {
		return slices.ContainsFunc(c.Marks, func(m persistence.Mark) bool {
			return strings.HasPrefix(m.Key, PacketMark) && m.Key != markLastPacket && len(m.Value) > 0 && m.Value[0] == packetDone
		})
	}
	ack := func(kind broker.AckKind, behind bool) func(broker.Ack) (bool, bool) {
		return func(a broker.Ack) (bool, bool) { hit := a.Kind == kind; return hit && !behind, hit && behind }
	}
	tests := []struct {
		name  string
		write func(persistence.Commit) bool
		dies  func(broker.Ack) (before, behind bool)
	}{
		{name: "before the commit", write: func(c persistence.Commit) bool { return len(c.Messages) > 0 }},
		{name: "after the commit, before PUBREC", dies: ack(broker.PubRec, false)},
		{name: "after PUBREC", dies: ack(broker.PubRec, true)},
		{name: "after PUBREL, before the release is recorded", write: isDone},
		{name: "after that, before PUBCOMP", dies: ack(broker.PubComp, false)},
		{name: "after PUBCOMP", dies: ack(broker.PubComp, true)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			h := newReceivingHouse(t)
			s := newSender(t, 2, counted(count)...)
			s.window = 7
			for deaths := 0; ; deaths++ {
				skip := rnd.IntN(5)
				hit := func() bool { skip--; return skip == -1 }
				if deaths == 25 {
					hit = func() bool { return false }
				}
				s.mu.Lock()
				s.kill = h.die
				s.dies = func(a broker.Ack) (before, behind bool) {
					if test.dies != nil {
						before, behind = test.dies(a)
					}
					if (before || behind) && hit() {
						return before, behind
					}
					return false, false
				}
				s.mu.Unlock()
				h.store.set(func(st *testStore) {
					st.onWrit = func(c persistence.Commit) error {
						if test.write != nil && test.write(c) && hit() {
							h.die()
						}
						return nil
					}
				})
				s.connect(h.in, deaths > 0)
				over := false
				select {
				case <-h.dead:
				case <-s.done:
					over = true
				case <-soon(t).Done():
					t.Fatal("nothing more happens")
				}
				if over {
					if deaths < 3 {
						t.Errorf("it died %d times", deaths)
					}
					break
				}
				h.start()
			}
			if got, want := payloadsOf(h.stored()), strings.Join(counted(count), " "); got != want {
				t.Errorf("stored %s", got)
			}
		})
	}
}
