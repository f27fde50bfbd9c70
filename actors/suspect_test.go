package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// A message that the broker does not take is set aside after max_attempts links,
// wherever in the window it stands, and nothing else is.
func TestPoisonBecomesADeadLetter(t *testing.T) {
	h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Window, c.MaxAttempts = 20, 4 })
	h.broker.Reject("poison/#")
	var list []persistence.Entry
	for i := range 100 {
		topic := "t"
		if i == 17 || i == 60 {
			topic = "poison/x"
		}
		list = append(list, entry(topic, fmt.Sprint(i)))
	}
	if _, err := h.queue.Put(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	h.drained(t)
	if st := h.queue.Status(); st.Sent != 98 || st.Dead != 2 || st.DeadPending != 2 || st.Accepted != 100 {
		t.Errorf("sent %d, dead %d, of them kept %d", st.Sent, st.Dead, st.DeadPending)
	}
	dead := deadLetters(t, h.queue)
	if len(dead) != 2 || dead[0].Seq != 18 || dead[1].Seq != 61 || !strings.Contains(dead[0].Cause, "4 links in a row") {
		t.Errorf("dead letters %v", dead)
	}
	_, order := h.published()
	for i, p := range order[1:] {
		if len(p) < len(order[i]) || len(p) == len(order[i]) && p < order[i] {
			t.Fatalf("%s came behind %s", p, order[i])
		}
	}

	// Once the broker takes it, it goes after a requeue: behind the others.
	h.broker.Reject("")
	again, err := Ask(t.Context(), h.queue.Ref, func(r Reply[Requeued]) QueueMessage { return Requeue{18, r} })
	if err != nil || again.Seq != 101 {
		t.Errorf("requeued as %d, %v", again.Seq, err)
	}
	h.drained(t)
	if _, order := h.published(); order[len(order)-1] != "17" {
		t.Errorf("the last one is %s", order[len(order)-1])
	}
	if st := h.queue.Status(); st.Sent != 99 || st.Dead != 2 || st.DeadPending != 1 || st.Accepted != 101 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
}

// If the broker takes no message at all, two are set aside and then no more: it
// is refused, nothing is lost, and it goes on when the broker has changed its
// mind.
func TestThreeHeadsInARowAreTheBroker(t *testing.T) {
	h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.MaxAttempts = 3 })
	h.broker.Reject("#")
	mustPut(t, h.queue, "t", 50)
	refused := func() bool { return h.conn.Status().State == types.Refused }
	h.bell.wait(t, "the state refused", refused)
	if st := h.conn.Status(); !strings.Contains(st.Hint, "the 3rd in a row") {
		t.Errorf("the hint is %q", st.Hint)
	}
	for range 3 { // it is tried again and again, and nothing more is given up
		since := h.conn.Status().Since
		h.bell.wait(t, "another attempt", func() bool { return h.conn.Status().Since.After(since) })
		h.bell.wait(t, "the state refused", refused)
	}
	if st := h.queue.Status(); st.Dead != 2 || st.Pending != 48 {
		t.Errorf("dead %d, pending %d; want 2 and 48", st.Dead, st.Pending)
	}
	h.broker.Reject("")
	h.drained(t)
	if st := h.queue.Status(); st.Sent != 48 || st.DeadPending != 2 {
		t.Errorf("sent %d, dead %d", st.Sent, st.DeadPending)
	}
}

// Somebody who says to go on, as by Resume, begins the count anew.
func TestResumeEndsTheRefusal(t *testing.T) {
	h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.MaxAttempts = 2 })
	h.broker.Reject("#")
	mustPut(t, h.queue, "t", 10)
	h.bell.wait(t, "the state refused", func() bool { return h.conn.Status().State == types.Refused })
	h.conn.Tell(Resume{})
	h.bell.wait(t, "two more dead letters", func() bool { return h.queue.Status().Dead == 4 })
	h.bell.wait(t, "the state refused", func() bool { return h.conn.Status().State == types.Refused })
	if st := h.queue.Status(); st.Dead != 4 || st.Pending != 6 {
		t.Errorf("dead %d, pending %d", st.Dead, st.Pending)
	}
}

func deadLetters(t testing.TB, q *Queue) []persistence.Record {
	t.Helper()
	f, err := Ask(t.Context(), q.Ref, func(r Reply[Fetched]) QueueMessage { return Fetch{Dead: true, Reply: r} })
	if err != nil {
		t.Fatal(err)
	}
	return f.Records
}

func TestDeadLettersAreClearedAndRemoved(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	mustPut(t, q, "a", 3)
	mustPut(t, q, "b", 3)
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 5}, Reason: types.Dead, Cause: "x"}}})
	clear := func(c Clear) (uint64, error) {
		n, err := Ask(t.Context(), q.Ref, func(r Reply[Cleared]) QueueMessage { c.Reply = r; return c })
		return n.Count, err
	}
	for _, c := range []struct {
		name  string
		clear Clear
		n     uint64
		err   error
		left  []types.Seq
	}{
		{"one", Clear{Dead: true, Seq: 2}, 1, nil, []types.Seq{1, 3, 4, 5}},
		{"one that is none", Clear{Dead: true, Seq: 2}, 0, types.ErrUnknownMessage, []types.Seq{1, 3, 4, 5}},
		{"one that is pending", Clear{Dead: true, Seq: 6}, 0, types.ErrUnknownMessage, []types.Seq{1, 3, 4, 5}},
		{"by topic", Clear{Dead: true, Filter: "b"}, 2, nil, []types.Seq{1, 3}},
		{"pending ones", Clear{}, 1, nil, []types.Seq{1, 3}},
		{"a pending one that is dead", Clear{Seq: 1}, 0, types.ErrUnknownMessage, []types.Seq{1, 3}},
		{"beyond the last", Clear{Seq: 99}, 0, types.ErrUnknownMessage, []types.Seq{1, 3}},
		{"all", Clear{Dead: true}, 2, nil, nil},
	} {
		n, err := clear(c.clear)
		if n != c.n || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, n, err, c.n, c.err)
		}
		var left []types.Seq
		for _, r := range deadLetters(t, q) {
			left = append(left, r.Seq)
		}
		if !slices.Equal(left, c.left) {
			t.Errorf("%s: %v are left, want %v", c.name, left, c.left)
		}
	}
	if st := q.Status(); st.Dead != 5 || st.DeadPending != 0 || st.Cleared != 1 || st.Accepted != 6 || st.Pending != 0 {
		t.Errorf("the books: %+v", st)
	}
}

// A message that is in flight may be at the broker: it cannot be removed.
func TestRemoveLeavesWhatIsInFlight(t *testing.T) {
	h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Window = 2 })
	h.broker.Withhold(true)
	mustPut(t, h.queue, "t", 5)
	if err := h.broker.WaitFor(soon(t), 2); err != nil {
		t.Fatal(err)
	}
	remove := func(seq types.Seq) error {
		_, err := Ask(t.Context(), h.queue.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Seq: seq, Reply: r} })
		return err
	}
	if err := remove(2); !errors.Is(err, types.ErrInFlight) {
		t.Errorf("in flight: %v", err)
	}
	if err := remove(4); err != nil {
		t.Errorf("waiting: %v", err)
	}
	h.broker.Withhold(false)
	h.drained(t)
	if _, order := h.published(); !slices.Equal(order, []string{"0", "1", "2", "4"}) {
		t.Errorf("%v arrived", order)
	}
}

// How often the gateway is started makes no difference: each time might set two
// more aside. Only an answer begins the count anew, and that is kept, too.
func TestGivenUpInARowSurvivesRestarts(t *testing.T) {
	var qc QueueConfig
	var cc ConnectionConfig
	h := newHouse(t, func(q *QueueConfig, c *ConnectionConfig) {
		c.MaxAttempts = 3
		qc, cc = *q, *c
	})
	restart := func() {
		t.Helper()
		stop(t, h.conn.Ref)
		stop(t, h.queue.Ref)
		var err error
		qc.Compactor, qc.CompactionInterval = h.compactor, time.Millisecond
		if h.queue, err = SpawnQueue(h.sys, qc); err != nil {
			t.Fatal(err)
		}
		cc.Queue, cc.Inbound = h.queue, h.inbound.Ref
		if h.conn, err = SpawnConnection(h.sys, cc); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(dead, pending uint64) {
		t.Helper()
		h.bell.wait(t, "the state refused", func() bool { return h.conn.Status().State == types.Refused })
		if st := h.queue.Status(); st.Dead != dead || st.Pending != pending {
			t.Errorf("dead %d, pending %d; want %d and %d", st.Dead, st.Pending, dead, pending)
		}
	}
	h.broker.Reject("#")
	mustPut(t, h.queue, "t", 20)
	refused(2, 18)
	for range 2 {
		restart()
		refused(2, 18)
	}
	h.conn.Kill()
	h.bell.wait(t, "another life", func() bool { return h.conn.Status().State != types.Refused })
	refused(2, 18)

	h.broker.Reject("")
	h.drained(t)
	restart()
	h.broker.Reject("#")
	mustPut(t, h.queue, "t", 10)
	refused(4, 8)
}
