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
	store         *testStore
	syncing, goOn chan struct{}
}

func startGatedQueue(t *testing.T) *gatedQueue {
	s := newTestStore()
	g := &gatedQueue{store: s, syncing: make(chan struct{}), goOn: make(chan struct{})}
	s.onSync = func() error {
		g.syncing <- struct{}{}
		<-g.goOn
		return nil
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

// On a quick disk the next sync begins before those of the last are answered,
// with what was written meanwhile; nobody is answered before his own sync.
func TestQuickDiskIsKeptBusy(t *testing.T) {
	g := startGatedQueue(t)
	first := g.enqueue(t, 1)
	receive(t, g.syncing, "the sync of the first one")
	second := g.enqueue(t, 8)
	g.goOn <- struct{}{}
	receive(t, g.syncing, "the sync of the second group")
	answered(t, first, 1, nil)

	third := g.enqueue(t, 4)
	if writes, _, syncs := g.store.counts(); !slices.Equal(writes, []int{1, 8, 4}) || syncs != 2 {
		t.Errorf("in the second sync: writes of %v messages and %d syncs; want [1 8 4] and 2", writes, syncs)
	}
	g.goOn <- struct{}{}
	receive(t, g.syncing, "the sync of the third group")
	answered(t, second, 8, nil)
	select {
	case err := <-third:
		t.Errorf("answered before it was synced: %v", err)
	default:
	}
	g.goOn <- struct{}{}
	answered(t, third, 4, nil)
	if st := g.Status(); st.Syncs != 3 {
		t.Errorf("the status says %d syncs, want 3", st.Syncs)
	}
}

// A write that fails right after a sync takes nothing back of what that has made
// durable.
func TestWriteThatFailsAfterASync(t *testing.T) {
	g := startGatedQueue(t)
	first := g.enqueue(t, 1)
	receive(t, g.syncing, "the sync of the first one")
	second := g.enqueue(t, 8)
	g.goOn <- struct{}{}
	receive(t, g.syncing, "the sync of the second group")
	answered(t, first, 1, nil)
	third := g.enqueue(t, 4)  // written
	fourth := g.enqueue(t, 1) // too few to be written meanwhile
	full := errors.New("disk full")
	g.store.set(func(s *testStore) {
		s.onWrit = func(persistence.Commit) error { return full }
		s.onSync = nil
	})
	g.goOn <- struct{}{}
	answered(t, second, 8, nil)
	answered(t, third, 4, full)
	answered(t, fourth, 1, full)
	g.store.set(func(s *testStore) { s.onWrit = nil })
}
