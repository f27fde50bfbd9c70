package actors

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// client is the source of the messages of these tests.
const client = publishedBy + "c"

// exchange2 is a message of an exchange at QoS 2, whose content says what it is.
func exchange2(id uint64, payload string) (types.Once, persistence.Entry) {
	e := from(client, id, payload)
	return types.Once{Rule: types.Open, Hash: uint64(len(payload))<<8 | uint64(payload[0])}, e
}

// publish2 stores a message of an exchange, or finds it stored; it says which.
func publish2(t testing.TB, q *Queue, id uint64, payload string, change ...func(*types.Once)) (repeat bool) {
	t.Helper()
	once, e := exchange2(id, payload)
	for _, f := range change {
		f(&once)
	}
	a := receive(t, tellOnce(t, q, []types.Once{once}, e), "the commit")
	for errors.Is(a.err, types.ErrInterrupted) {
		a = receive(t, tellOnce(t, q, []types.Once{once}, e), "the commit")
	}
	if a.err != nil {
		t.Fatal(a.err)
	}
	return len(a.repeated) == 1
}

func noteThat(t testing.TB, q *Queue, n Note) {
	t.Helper()
	if _, err := Ask(soon(t), q.Ref, func(r Reply[Noted]) QueueMessage { n.Reply = r; return n }); err != nil {
		t.Fatal(err)
	}
}

// closed ends exchanges of the client.
func closed(ids ...uint64) Note {
	var n Note
	for _, id := range ids {
		n.Closed = append(n.Closed, types.Origin{Source: client, ID: id})
	}
	return n
}

func expectRepeat(t testing.TB, what string, got, want bool) {
	t.Helper()
	if got != want {
		t.Errorf("%s counts as a repeat: %v, want %v", what, got, want)
	}
}

// S2.1: while an exchange is open its message is stored once, by whatever is told of
// it; another content takes the id over; once it is closed the id is free.
func TestAnOpenExchangeIsStoredOnce(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	again := func(o *types.Once) { o.Dup = true }
	expectRepeat(t, "the first", publish2(t, q, 5, "a"), false)
	expectRepeat(t, "one with DUP", publish2(t, q, 5, "a", again), true)
	expectRepeat(t, "one without DUP", publish2(t, q, 5, "a"), true)
	expectRepeat(t, "another id", publish2(t, q, 6, "a", again), false)
	expectRepeat(t, "another content", publish2(t, q, 5, "b"), false)
	expectRepeat(t, "a repeat of that", publish2(t, q, 5, "b", again), true)
	expectRepeat(t, "the content before, which has no exchange", publish2(t, q, 5, "a"), false)
	expectRepeat(t, "what is known to be new", publish2(t, q, 5, "a", func(o *types.Once) { o.New = true }), false)
	noteThat(t, q, closed(5, 99))
	expectRepeat(t, "the next exchange", publish2(t, q, 5, "a", again), false)
	expectRepeat(t, "what was not closed", publish2(t, q, 6, "a", again), true)
	noteThat(t, q, Note{Ended: []SourceKey{KeyOf(client), KeyOf("client:other")}})
	expectRepeat(t, "what was ended", publish2(t, q, 6, "a", again), false)
	expectPayloads(t, q, "a a b a a a a")
}

// Each moment at which a process can be killed: what it had committed is a repeat
// afterwards, what it had not is not.
func TestExchangesAcrossKills(t *testing.T) {
	history := []func(*Queue){
		func(q *Queue) { publish2(t, q, 5, "a") },
		func(q *Queue) { noteThat(t, q, closed(5)) },
		func(q *Queue) { publish2(t, q, 5, "a") },
		func(q *Queue) { publish2(t, q, 5, "b") },
		func(q *Queue) { noteThat(t, q, Note{Ended: []SourceKey{KeyOf(client)}}) },
	}
	for i, test := range []struct {
		name   string
		repeat string // this content is one for id 5
		stored string // then
	}{
		{"before the first commit", "", "x"},
		{"after it", "a", "a"},
		{"closed", "", "a x"},
		{"open again", "a", "a a"},
		{"taken over", "b", "a a b"},
		{"ended", "", "a a b x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestStore()
			q, _ := startQueue(t, newTestSystem(t), s, nil)
			for _, do := range history[:i] {
				do(q)
			}
			after, _ := startQueue(t, newTestSystem(t), killed(s), nil)
			content := test.repeat
			if content == "" {
				content = "x"
			}
			expectRepeat(t, content, publish2(t, after, 5, content), test.repeat != "")
			expectPayloads(t, after, test.stored)
			if open := after.IsOpen(KeyOf(client), 5); !open {
				t.Error("it is not open now")
			}
		})
	}
}

// Where commits are not synced one by one the power may take back that an exchange
// was closed. Its id may have been used again since: only who says that it repeats
// is believed.
func TestExchangesAfterAPowerCutOfALazyStore(t *testing.T) {
	for _, test := range []struct {
		name   string
		within time.Duration
		repeat bool
	}{{"always", 0, true}, {"500ms", 500 * time.Millisecond, false}, {"never", -1, false}} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestStore()
			change := func(c *QueueConfig) { c.SyncWithin, c.Clock = test.within, newTestClock() }
			q, _ := startQueue(t, newTestSystem(t), s, change)
			publish2(t, q, 5, "a")
			publish2(t, q, 6, "a")
			expectRepeat(t, "in the same life, without DUP,", publish2(t, q, 5, "a"), true)
			after, _ := startQueue(t, newTestSystem(t), killed(s), change)
			expectRepeat(t, "with DUP", publish2(t, after, 6, "a", func(o *types.Once) { o.Dup = true }), true)
			expectRepeat(t, "without DUP", publish2(t, after, 5, "a"), test.repeat)
		})
	}
}

// A message that has left the queue, by whichever way, is as much a repeat as one
// that has not (S3.5), also when nothing of it is left on disk.
func TestExchangesOutliveTheirMessages(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	publish2(t, q, 5, "a")
	publish2(t, q, 6, "b")
	q.Tell(Settle{Done: []persistence.Done{{Range: rangeOf(1), Reason: types.Sent}}})
	if _, err := Ask(soon(t), q.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Reply: r} }); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		did, err := Ask(soon(t), q.Ref, func(r Reply[persistence.Compaction]) QueueMessage { return Compact{1 << 20, r} })
		if err != nil {
			t.Fatal(err)
		}
		more = did.More
	}
	after, _ := startQueue(t, newTestSystem(t), killed(s), nil)
	expectRepeat(t, "what was sent", publish2(t, after, 5, "a"), true)
	expectRepeat(t, "what was cleared", publish2(t, after, 6, "b"), true)
	expectPayloads(t, after, "")
}

// What is remembered is bounded, of one client and of all: the oldest is forgotten
// first.
func TestOpenExchangesAreBounded(t *testing.T) {
	t.Run("of a client", func(t *testing.T) {
		s := newTestStore()
		q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.MaxOpen = 3 })
		for id := range uint64(5) {
			once, e := exchange2(id+1, "a")
			e.Enqueued = e.Enqueued.Add(time.Duration(id) * time.Second)
			if a := receive(t, tellOnce(t, q, []types.Once{once}, e), "the commit"); a.err != nil {
				t.Fatal(a.err)
			}
		}
		after, _ := startQueue(t, newTestSystem(t), killed(s), nil)
		if _, err := describe(t, after); err != nil {
			t.Fatal(err)
		}
		for id := range uint16(5) {
			if got, want := after.IsOpen(KeyOf(client), id+1), id >= 2; got != want {
				t.Errorf("exchange %d is open: %v", id+1, got)
			}
		}
	})
	t.Run("of all", func(t *testing.T) {
		s := newTestStore()
		q, _ := startQueue(t, newTestSystem(t), s, nil)
		var once []types.Once
		var entries []persistence.Entry
		const clients, each = 40, 900
		for i := range clients * each {
			rule, e := exchange2(uint64(i%each+1), "a")
			e.Origin.Source = fmt.Sprint(publishedBy, i/each)
			e.Enqueued = e.Enqueued.Add(time.Duration(i) * time.Second)
			once, entries = append(once, rule), append(entries, e)
		}
		for len(entries) > 0 {
			n := min(2000, len(entries))
			if a := receive(t, tellOnce(t, q, once[:n], entries[:n]...), "the commit"); a.err != nil {
				t.Fatal(a.err)
			}
			once, entries = once[n:], entries[n:]
		}
		if n := len(marksOf(t, q, OpenMark)); n > maxOpenOrigins || n < maxOpenOrigins*9/10 || n != q.origins.count {
			t.Errorf("%d marks, %d known", n, q.origins.count)
		}
		if q.IsOpen(KeyOf(publishedBy+"0"), 1) || !q.IsOpen(KeyOf(fmt.Sprint(publishedBy, clients-1)), each) {
			t.Error("others than the oldest were forgotten")
		}
	})
}

// Who asks for exchanges must not be told that there are none while it is not
// known, nor while the end of one is not committed.
func TestKnowsASourceUntilItIsEnded(t *testing.T) {
	s := newTestStore()
	s.onOpen = func() error { return errors.New("not yet") }
	q, changed := startQueue(t, newTestSystem(t), s, nil)
	if _, err := describe(t, q); err == nil {
		t.Fatal("the store is open")
	}
	if !q.Knows(KeyOf(client)) {
		t.Error("it is known what is stored before the store was opened")
	}
	s.set(func(s *testStore) { s.onOpen = nil })
	changed.wait(t, "an open store", func() bool { return q.Trouble() == nil && !q.Unread() })
	if q.Knows(KeyOf(client)) {
		t.Error("a client is known that has published nothing")
	}
	publish2(t, q, 5, "a")
	noteThat(t, q, closed(5))
	if !q.Knows(KeyOf(client)) || q.IsOpen(KeyOf(client), 5) {
		t.Error("a client is not known that has closed its exchange, or it is open")
	}
	noteThat(t, q, Note{Ended: q.OpenSources()})
	if q.Knows(KeyOf(client)) {
		t.Error("a client is known whose exchanges were ended")
	}
}

// Marks that nobody can have written are reported, and do not keep the queue from
// opening.
func TestUnreadableOrigins(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	noteThat(t, q, Note{Marks: []persistence.Mark{
		mark(OpenMark, "1"), mark(OpenMark+"short", "\x01aaaaaaaa\x01"), mark(OpenMark+strings.Repeat("k", 18), "\x01aaaaaaa"),
		mark(OpenMark+strings.Repeat("l", 18), "\x02aaaaaaaa\x01"), mark(SourceMark+"a", ""), mark(SourceMark+"b", "\x01\x80"),
		mark(SourceMark+"c", "\x01\x05\x00more"), mark(SourceMark+"d", "\x01\x05\x00"),
	}})
	after := killed(s)
	o := &origins{}
	handle, err := after.opener("test/outgoing")(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if errs := o.load(handle); len(errs) != 6 || o.count != 0 || len(o.heights) != 1 || o.heights["d"].highest != 5 {
		t.Errorf("%d errors, %d open, %v", len(errs), o.count, o.heights)
	}
}

// FuzzOrigins: whatever is stored is read or refused, and what is read is written
// as it was.
func FuzzOrigins(f *testing.F) {
	open := openOrigin{hash: 1 << 60, since: 1_700_000_000_000}.mark(KeyOf(client), 513)
	f.Add(open.Key, open.Value, true)
	h := height{highest: 1 << 40, gone: 12}.mark("store")
	f.Add(h.Key, h.Value, false)
	f.Add(OpenMark, []byte{}, true)
	f.Fuzz(func(t *testing.T, key string, value []byte, isOpen bool) {
		if !isOpen {
			if h, err := readHeight(value); err == nil {
				if again, err := readHeight(h.mark("a").Value); err != nil || again != h {
					t.Fatalf("%+v became %+v, %v", h, again, err)
				}
			}
			return
		}
		if !strings.HasPrefix(key, OpenMark) {
			return
		}
		source, id, open, err := readOpen(key, value)
		if err != nil {
			return
		}
		m := open.mark(source, id)
		if s, i, o, err := readOpen(m.Key, m.Value); err != nil || s != source || i != id || o != open || m.Key != key {
			t.Fatalf("%x %d %+v became %x %d %+v, %v", source, id, open, s, i, o, err)
		}
	})
}
