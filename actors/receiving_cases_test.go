package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func acksOf(kind broker.AckKind, ids ...uint16) (list []broker.Ack) {
	for _, id := range ids {
		list = append(list, broker.Ack{Kind: kind, ID: id})
	}
	return list
}

// wantAcks waits for acknowledgements.
func wantAcks(t *testing.T, l *ackLink, want []broker.Ack) {
	t.Helper()
	var got []broker.Ack
	for len(got) < len(want) {
		got = append(got, receive(t, l.acks, fmt.Sprint("acknowledgements ", want))...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("acknowledged %v, want %v", got, want)
	}
}

func dup(list []broker.Inbound) []broker.Inbound {
	list = slices.Clone(list)
	for i := range list {
		list[i].Dup = true
	}
	return list
}

func releases(ids ...uint16) (list []broker.Inbound) {
	for _, id := range ids {
		list = append(list, broker.Inbound{Kind: broker.Release, ID: id})
	}
	return list
}

// A store that is in trouble: nothing is acknowledged, neither messages nor PUBREL,
// until it works again; and what it had all the same, though it said that it had
// failed, is not stored again.
func TestReceivingWhileTheStoreFails(t *testing.T) {
	for _, op := range []string{"write", "sync", "open"} {
		for _, qos := range []types.QoS{0, 1, 2} {
			t.Run(fmt.Sprint(op, ", QoS ", qos), func(t *testing.T) {
				h := newReceivingHouse(t)
				l := newAckLink()
				h.in.Tell(Linked{Link: l, Present: false})
				h.in.Tell(Arrived{l, inboundMessages(2, "ab")})
				wantAcks(t, l, acksOf(broker.PubRec, 1, 2))
				failed := make(chan struct{}, 100)
				fail := func() error { failed <- struct{}{}; return errors.New("the disk is full") }
				h.store.set(func(s *testStore) {
					s.onOpen = fail
					if s.onSync = fail; op != "sync" {
						s.onWrit = func(persistence.Commit) error { return fail() }
					}
				})
				list := inboundMessages(qos, "cde")
				for i := range list {
					list[i].ID += 2
				}
				h.in.Tell(Arrived{l, append(list, releases(1)...)})
				for range 3 {
					receive(t, failed, "the store to fail")
				}
				if len(l.acks) > 0 {
					t.Errorf("acknowledged %v", <-l.acks)
				}
				h.store.set(func(s *testStore) { s.onOpen, s.onSync, s.onWrit = nil, nil, nil })
				want := map[types.QoS][]broker.Ack{1: acksOf(broker.PubAck, 3, 4, 5), 2: acksOf(broker.PubRec, 3, 4, 5)}[qos]
				wantAcks(t, l, append(want, acksOf(broker.PubComp, 1)...))
				if got := payloadsOf(h.stored()); got != "a b c d e" {
					t.Errorf("stored %s", got)
				}
			})
		}
	}
}

// S8.1: messages wait for room, PUBREL does not; beyond a bound nothing more is
// read. What waits when the link ends is forgotten, for the broker sends it again.
func TestReceivingWithoutRoom(t *testing.T) {
	sys := newTestSystem(t)
	q, _ := startQueue(t, sys, newTestStore(), func(c *QueueConfig) { c.MaxMessages, c.MaxBytes = 10, 1000 })
	in, err := SpawnInbound(sys, InboundConfig{Name: "in", Queue: q, MaxHeld: 3 * (arrivalSize + 18)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, in.Ref) })
	first, second := &holdLink{newAckLink(), make(chan bool, 10)}, &holdLink{newAckLink(), make(chan bool, 10)}
	in.Tell(Linked{Link: first, Present: false})
	in.Tell(Arrived{first, inboundMessages(2, "a")})
	wantAcks(t, first.ackLink, acksOf(broker.PubRec, 1))
	all := Cost{Messages: 10, Bytes: 1000}
	if err := q.Admission().Acquire(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	waiting := inboundMessages(2, "abcde")[1:]
	in.Tell(Arrived{first, waiting})
	in.Tell(Arrived{first, releases(1, 99)})
	wantAcks(t, first.ackLink, acksOf(broker.PubComp, 1, 99))
	if on := receive(t, first.holds, "the link to be held up"); !on {
		t.Error("the link was let go")
	}
	in.Tell(Linked{Link: second, Present: true})
	in.Tell(Arrived{second, dup(waiting)})
	if on := receive(t, second.holds, "the other link to be held up"); !on {
		t.Error("the other link was let go")
	}
	q.Admission().Release(all)
	wantAcks(t, second.ackLink, acksOf(broker.PubRec, 2, 3, 4, 5))
	if on := receive(t, second.holds, "the link to go on"); on {
		t.Error("the link was held up again")
	}
	var got []types.Message
	for _, r := range fetchAll(t, q, 0).Records {
		got = append(got, r.Message)
	}
	if payloadsOf(got) != "a b c d e" || in.Repeated() != 0 {
		t.Errorf("stored %s, %d repeats", payloadsOf(got), in.Repeated())
	}
	if len(first.acks) > 0 {
		t.Errorf("acknowledged %v", <-first.acks)
	}
}

// What is not stored is acknowledged: what nobody wants, what is too large (S4.5),
// what is known. At QoS 1 a message with DUP is known until its PUBACK is written,
// on the link that it came over (S4.2).
func TestReceivingWhatIsNotStored(t *testing.T) {
	h := newReceivingHouse(t)
	in, err := SpawnInbound(newTestSystem(t), InboundConfig{Name: "in", Queue: h.queue, Accept: func(m types.Message) (types.Message, bool) {
		m.Topic = "local/" + m.Topic
		return m, string(m.Payload) != "x"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, in.Ref) })
	l := newAckLink()
	in.Tell(Linked{Link: l, Present: false})
	large := func(qos types.QoS, id uint16, again bool) broker.Inbound {
		return broker.Inbound{Kind: broker.Oversized, ID: id, Dup: again, Message: types.Message{Topic: "t", QoS: qos}, Size: 1 << 30}
	}
	one := inboundMessages(1, "a")
	in.Tell(Arrived{l, slices.Concat(one, dup(one), inboundMessages(2, "xbx")[1:], []broker.Inbound{large(1, 4, false), large(2, 5, false), large(2, 5, true), large(0, 0, false)})})
	wantAcks(t, l, slices.Concat(acksOf(broker.PubAck, 1, 1), acksOf(broker.PubRec, 2, 3), acksOf(broker.PubAck, 4), acksOf(broker.PubRec, 5, 5)))
	in.Tell(Arrived{l, releases(3, 5)})
	wantAcks(t, l, acksOf(broker.PubComp, 3, 5))
	in.Tell(Arrived{l, dup(one)}) // it was acknowledged: another one, as far as anybody knows
	wantAcks(t, l, acksOf(broker.PubAck, 1))
	if got := payloadsOf(h.stored()); got != "a b a" {
		t.Errorf("stored %s", got)
	}
	if topic := h.stored()[0].Topic; topic != "local/t" {
		t.Errorf("topic %s", topic)
	}
	if in.Oversized() != 4 || in.Repeated() != 1 || in.Received() != 3 {
		t.Errorf("%d were too large, %d repeats, %d received", in.Oversized(), in.Repeated(), in.Received())
	}
}

// Many at a time: a group is one commit, and PUBRELs are released together.
func TestReceivingCommitsTogether(t *testing.T) {
	h := newReceivingHouse(t)
	l := newAckLink()
	h.in.Tell(Linked{Link: l, Present: false})
	describe(t, h.queue)
	var list []broker.Inbound
	var ids []uint16
	for i := range uint16(300) {
		list = append(list, broker.Inbound{ID: i + 1, Message: types.Message{Topic: "t", QoS: 2, Payload: make([]byte, 200)}})
		ids = append(ids, i+1)
	}
	h.in.Tell(Arrived{l, list})
	wantAcks(t, l, acksOf(broker.PubRec, ids...))
	writes, deltas, _ := h.store.counts()
	if len(writes) != 1 || writes[0] != 300 {
		t.Errorf("%v messages per write", writes)
	}
	h.in.Tell(Arrived{l, releases(ids...)})
	wantAcks(t, l, acksOf(broker.PubComp, ids...))
	if _, after, _ := h.store.counts(); after != deltas+1 {
		t.Errorf("%d writes for PUBREL", after-deltas)
	}
}

// What came at QoS 0, which nobody sends again, is stored when the actor is stopped.
func TestReceivingStops(t *testing.T) {
	h := newReceivingHouse(t)
	l := newAckLink()
	h.in.Tell(Linked{Link: l, Present: false})
	h.in.Tell(Arrived{l, inboundMessages(1, "a")})
	wantAcks(t, l, acksOf(broker.PubAck, 1))
	begun, goOn := make(chan struct{}), make(chan struct{})
	h.store.set(func(s *testStore) {
		s.onSync = func() error {
			h.store.set(func(s *testStore) { s.onSync = nil })
			close(begun)
			<-goOn
			return nil
		}
	})
	h.in.Tell(Arrived{l, inboundMessages(1, "b")})
	receive(t, begun, "a commit")
	h.in.Tell(Arrived{l, append(inboundMessages(0, "cd"), inboundMessages(1, "e")...)})
	stop(t, h.in.Ref)
	close(goOn)
	if _, err := put(soon(t), h.queue); err != nil { // behind what was told before
		t.Fatal(err)
	}
	if got := payloadsOf(h.stored()); got != "a b c d" {
		t.Errorf("stored %s", got)
	}
}

// A session that is lost may end very many packet ids at once. A large message that comes
// then has a commit of its own: together they would be more than one takes, for ever.
func TestLargeMessageBehindALostSession(t *testing.T) {
	begins := &parcel{begins: true, stage: parcelSorted}
	for id := range uint16(30_000) {
		begins.marks = append(begins.marks, noPacket(id))
	}
	large := &parcel{stage: parcelSorted, store: true, entry: entry("t", strings.Repeat("x", 7<<20))}
	release := &parcel{Inbound: broker.Inbound{Kind: broker.Release}, stage: parcelSorted}
	r := &receiving{line: []*parcel{begins, large, release}}
	group, entries, marks := r.gather(groupMessages)
	if len(group) != 2 || len(entries) != 0 || len(marks) != 30_000 {
		t.Errorf("%d parcels, %d messages, %d marks", len(group), len(entries), len(marks))
	}
	r.line = []*parcel{large}
	if group, entries, _ := r.gather(groupMessages); len(group) != 1 || len(entries) != 1 {
		t.Errorf("%d parcels, %d messages", len(group), len(entries))
	}
}
