package actors

import (
	"errors"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// gatedQueue is a queue on a quick disk, whose syncs the test lets begin and end.
type gatedQueue struct {
	*Queue
	store   *testStore
	syncing chan chan error // of each sync: where the test says how it ends
}

func startGatedQueue(t *testing.T) *gatedQueue {
	s := newTestStore()
	g := &gatedQueue{store: s, syncing: make(chan chan error)}
	s.onSync = func() error {
		end := make(chan error)
		g.syncing <- end
		return <-end
	}
	g.Queue, _ = startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock = newTestClock() })
	t.Cleanup(func() { s.set(func(s *testStore) { s.onSync = nil }) })
	return g
}

// enqueue tells the queue n messages, which are all there when it comes to the
// first, and returns where they are answered, once they have arrived.
func (g *gatedQueue) enqueue(t *testing.T, n int) <-chan error {
	t.Helper()
	answers, hold := make(chan error, n), make(chan struct{})
	g.Tell(Describe{Reply: func(types.QueueStatus, error) { <-hold }})
	for range n {
		e := []persistence.Entry{entry("t", "x")}
		if err := g.Admission().TryAcquire(CostOf(e)); err != nil {
			t.Fatal(err)
		}
		g.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) { answers <- err })})
	}
	close(hold)
	describe(t, g.Queue)
	describe(t, g.Queue) // behind the flush that the first one let pass
	return answers
}

// answered receives n answers and says whether all of them are want.
func answered(t *testing.T, answers <-chan error, n int, want error) {
	t.Helper()
	for range n {
		if err := receive(t, answers, "an answer"); !errors.Is(err, want) {
			t.Errorf("answered %v, want %v", err, want)
		}
	}
}

// unanswered says that nothing was answered yet, once the queue has done all it
// was told.
func (g *gatedQueue) unanswered(t *testing.T, answers <-chan error) {
	t.Helper()
	describe(t, g.Queue)
	select {
	case err := <-answers:
		t.Errorf("answered before its turn: %v", err)
	default:
	}
}

// On a quick disk a second sync begins beside the first, with what was written
// meanwhile; nobody is answered before his own sync.
func TestQuickDiskIsKeptBusy(t *testing.T) {
	g := startGatedQueue(t)
	first := g.enqueue(t, 1)
	sync1 := receive(t, g.syncing, "the sync of the first one")
	second := g.enqueue(t, 8)
	sync1 <- nil
	sync2 := receive(t, g.syncing, "the sync of the second group")
	answered(t, first, 1, nil)
	third := g.enqueue(t, 4)
	sync3 := receive(t, g.syncing, "the sync of the third group, beside it")
	fourth := g.enqueue(t, 4)
	if writes, _, syncs := g.store.counts(); !slices.Equal(writes, []int{1, 8, 4, 4}) || syncs != 3 {
		t.Errorf("while two syncs are under way: writes of %v messages and %d syncs; want [1 8 4 4] and 3", writes, syncs)
	}
	sync2 <- nil
	sync4 := receive(t, g.syncing, "the sync of the fourth group")
	answered(t, second, 8, nil)
	g.unanswered(t, third)
	sync3 <- nil
	answered(t, third, 4, nil)
	g.unanswered(t, fourth)
	sync4 <- nil
	answered(t, fourth, 4, nil)
	if st := g.Status(); st.Syncs != 4 {
		t.Errorf("the status says %d syncs, want 4", st.Syncs)
	}
}

// Of two syncs the one that ends first answers nobody before the other has
// ended well.
func TestSyncsEndInOrder(t *testing.T) {
	for _, test := range []struct {
		name  string
		first error
	}{
		{"well", nil},
		{"the earlier one fails", errors.New("input/output error")},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := startGatedQueue(t)
			zero := g.enqueue(t, 1)
			sync1 := receive(t, g.syncing, "the first sync")
			first := g.enqueue(t, 8)
			sync1 <- nil
			sync2 := receive(t, g.syncing, "the sync of the first group")
			answered(t, zero, 1, nil)
			second := g.enqueue(t, 4)
			sync3 := receive(t, g.syncing, "the sync of the second group")
			g.store.set(func(s *testStore) { s.onSync = nil })
			sync3 <- nil
			g.unanswered(t, second)
			sync2 <- test.first
			answered(t, first, 8, test.first)
			answered(t, second, 4, test.first)
		})
	}
}

// A write that fails right after a sync takes nothing back of what that has made
// durable.
func TestWriteThatFailsAfterASync(t *testing.T) {
	g := startGatedQueue(t)
	first := g.enqueue(t, 1)
	sync1 := receive(t, g.syncing, "the sync of the first one")
	second := g.enqueue(t, 8)
	sync1 <- nil
	sync2 := receive(t, g.syncing, "the sync of the second group")
	answered(t, first, 1, nil)
	third := g.enqueue(t, 4) // written
	sync3 := receive(t, g.syncing, "the sync of the third group")
	fourth := g.enqueue(t, 1) // too few to be written meanwhile
	full := errors.New("disk full")
	g.store.set(func(s *testStore) {
		s.onWrit = func(persistence.Commit) error { return full }
		s.onSync = nil
	})
	sync2 <- nil
	answered(t, second, 8, nil)
	sync3 <- nil
	answered(t, third, 4, full)
	answered(t, fourth, 1, full)
	g.store.set(func(s *testStore) { s.onWrit = nil })
}
