package actors

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func mark(key, value string) persistence.Mark {
	return persistence.Mark{Key: key, Value: []byte(value)}
}

// marksOf returns "key=value" of the marks with a prefix.
func marksOf(t testing.TB, q *Queue, prefix string) []string {
	t.Helper()
	m, err := Ask(t.Context(), q.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{prefix, r} })
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range m.List {
		list = append(list, m.Key+"="+string(m.Value))
	}
	return list
}

// A note is answered when it is committed as the policy says, or when it is
// synced if it asks for that.
func TestNotesAndSyncPolicies(t *testing.T) {
	tests := []struct {
		name   string
		within time.Duration
		sync   bool
		syncs  int
	}{
		{"always", 0, false, 1},
		{"always, sync", 0, true, 1},
		{"500ms", 500 * time.Millisecond, false, 0},
		{"500ms, sync", 500 * time.Millisecond, true, 1},
		{"never", -1, false, 0},
		{"never, sync", -1, true, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newTestStore()
			q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.SyncWithin, c.Clock = test.within, newTestClock() })
			_, err := Ask(soon(t), q.Ref, func(r Reply[Noted]) QueueMessage {
				return Note{Marks: []persistence.Mark{mark("a", "1")}, Sync: test.sync, Reply: r}
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, deltas, syncs := s.counts(); deltas != 1 || syncs != test.syncs {
				t.Errorf("%d writes and %d syncs, want 1 and %d", deltas, syncs, test.syncs)
			}
			if got := fmt.Sprint(marksOf(t, q, "")); got != "[a=1]" {
				t.Errorf("marks %v", got)
			}
		})
	}
}

// A note that comes while a sync is under way is not covered by it.
func TestANoteIsSyncedItself(t *testing.T) {
	s := newTestStore()
	syncing, goOn := make(chan struct{}), make(chan struct{})
	s.onSync = func() error {
		syncing <- struct{}{}
		<-goOn
		return nil
	}
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock = newTestClock() })
	answers := make(chan error, 2)
	note := func(key string) {
		q.Tell(Note{Marks: []persistence.Mark{mark(key, "1")}, Reply: func(_ Noted, err error) { answers <- err }})
	}
	note("a")
	receive(t, syncing, "the first sync")
	note("b")
	describe(t, q)
	goOn <- struct{}{}
	receive(t, answers, "the first answer")
	receive(t, syncing, "a second sync")
	select {
	case <-answers:
		t.Error("answered before it was synced")
	default:
	}
	s.set(func(s *testStore) { s.onSync = nil })
	close(goOn)
	receive(t, answers, "the second answer")
}

// A note of nothing is answered when all before it is recorded.
func TestAnEmptyNoteWaitsForWhatIsBefore(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.SyncWithin = -1 })
	mustPut(t, q, "t", 1)
	if _, err := Ask(soon(t), q.Ref, func(r Reply[Noted]) QueueMessage { return Note{Sync: true, Reply: r} }); err != nil {
		t.Fatal(err)
	}
	if _, _, syncs := s.counts(); syncs != 1 {
		t.Errorf("%d syncs, want 1", syncs)
	}
}

// Marks take effect in the order in which they were told, by whatever message.
func TestMarksKeepTheirOrder(t *testing.T) {
	for round := range 8 {
		s := newTestStore()
		syncing, goOn := make(chan struct{}), make(chan struct{})
		if round&1 != 0 { // while a sync is under way
			s.onSync = func() error {
				syncing <- struct{}{}
				<-goOn
				return nil
			}
		}
		q, _ := startQueue(t, newTestSystem(t), s, nil)
		if round&1 != 0 {
			q.Tell(Note{Marks: []persistence.Mark{mark("x", "")}})
			receive(t, syncing, "a sync")
			s.set(func(s *testStore) { s.onSync = nil })
		}
		for i := range 6 {
			m := []persistence.Mark{mark("k", fmt.Sprint(i))}
			switch {
			case (i+round>>1)%3 == 0:
				q.Tell(Settle{Marks: m})
			case i%2 == 0:
				q.Tell(Note{Marks: m})
			default:
				e := []persistence.Entry{entry("t", "x")}
				if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
					t.Fatal(err)
				}
				q.Tell(Enqueue{Entries: e, Note: &Note{Marks: m}, Done: CompletionFunc(func(types.Seq, error) {})})
			}
		}
		if got := marksOf(t, q, "k"); len(got) != 1 || got[0] != "k=5" {
			t.Errorf("round %d: %v, want the last one", round, got)
		}
		close(goOn)
		describe(t, q)
	}
}

// What an Enqueue notes is in the same Write as its last message.
func TestEnqueueAndItsNoteAreOneCommit(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	mustPut(t, q, "old", 1)
	var commits []persistence.Commit
	s.set(func(s *testStore) {
		s.onWrit = func(c persistence.Commit) error { commits = append(commits, c); return nil }
	})
	e := []persistence.Entry{entry("new", "x")}
	if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
		t.Fatal(err)
	}
	answer := make(chan types.Seq, 1)
	q.Tell(Enqueue{Entries: e, Note: &Note{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 1}, Reason: types.Sent}}, Marks: []persistence.Mark{mark("k", "v")}},
		Done: CompletionFunc(func(first types.Seq, _ error) { answer <- first })})
	if first := receive(t, answer, "the answer"); first != 2 {
		t.Errorf("seq %d, want 2", first)
	}
	if len(commits) != 1 || len(commits[0].Messages) != 1 || len(commits[0].Marks) != 1 || len(commits[0].Done) != 1 {
		t.Errorf("commits %+v, want one with all of it", commits)
	}
	if st := q.Status(); st.Pending != 1 || st.Sent != 1 {
		t.Errorf("status %+v", st)
	}
}

// Whoever waits for a note learns of the trouble of the store, and of the end.
func TestNotesAreAnsweredInTrouble(t *testing.T) {
	broken := errors.New("disk full")
	s := newTestStore()
	s.onWrit = func(persistence.Commit) error { return broken }
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock = newTestClock() })
	note := func(r Reply[Noted]) QueueMessage {
		return Note{Marks: []persistence.Mark{mark("a", "1")}, Sync: true, Reply: r}
	}
	for range 2 {
		if _, err := Ask(soon(t), q.Ref, note); !errors.Is(err, broken) {
			t.Errorf("%v, want the trouble", err)
		}
	}
	if _, err := Ask(soon(t), q.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{"", r} }); !errors.Is(err, broken) {
		t.Errorf("ReadMarks: %v, want the trouble", err)
	}
	stop(t, q.Ref)
	if _, err := Ask(soon(t), q.Ref, note); !errors.Is(err, types.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// The numbers of a store that was replaced mean nothing in another one.
func TestSettleForAnotherStore(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	mustPut(t, q, "t", 3)
	one := func(n types.Seq) []persistence.Done {
		return []persistence.Done{{Range: persistence.Range{First: n, Last: n}, Reason: types.Sent}}
	}
	q.Tell(Settle{Done: one(1), Store: persistence.StoreID{1}})
	q.Tell(Settle{Done: one(2), Store: q.State().StoreID})
	q.Tell(Settle{Done: one(3)})
	marksOf(t, q, "") // behind the commit
	describe(t, q)
	describe(t, q)
	if f := fetchAll(t, q, 0); len(f.Records) != 1 || f.Records[0].Seq != 1 {
		t.Errorf("%v are pending, want 1", f.Records)
	}
}

// Nor is a Note for it recorded.
func TestNoteForAnotherStore(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	note := func(store persistence.StoreID) error {
		_, err := Ask(soon(t), q.Ref, func(r Reply[Noted]) QueueMessage {
			return Note{Marks: []persistence.Mark{{Key: "k", Value: []byte{1}}}, Store: store, Reply: r}
		})
		return err
	}
	if err := note(persistence.StoreID{1}); !errors.Is(err, types.ErrInterrupted) {
		t.Errorf("%v, want ErrInterrupted", err)
	}
	if m := marksOf(t, q, ""); len(m) > 0 {
		t.Errorf("recorded: %v", m)
	}
	if err := note(q.State().StoreID); err != nil {
		t.Error(err)
	}
}
