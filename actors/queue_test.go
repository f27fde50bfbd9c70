package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestAloneEachMessageIsACommit(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	for range 50 {
		mustPut(t, q, "t", 1)
	}
	writes, _, syncs := s.counts()
	if len(writes) != 50 || syncs != 50 {
		t.Errorf("50 messages of one caller took %d writes and %d syncs, want 50 each", len(writes), syncs)
	}
}

// Principle 3: what arrives while a commit is under way becomes the next one,
// all of it, however many producers there are.
func TestGroupCommitGrowsWithProducers(t *testing.T) {
	for _, producers := range []int{1, 16, 256} {
		t.Run(fmt.Sprint(producers), func(t *testing.T) {
			s := newTestStore()
			syncing, goOn := make(chan struct{}), make(chan struct{})
			s.onSync = func() error {
				syncing <- struct{}{}
				<-goOn
				return nil
			}
			q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock = newTestClock() })
			answers := make(chan error, producers+1)
			enqueue := func() {
				e := []persistence.Entry{entry("t", "x")}
				if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
					t.Fatal(err)
				}
				q.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) { answers <- err })})
			}
			enqueue()
			receive(t, syncing, "the sync of the first one")
			for range producers {
				enqueue()
			}
			describe(t, q) // all of them have arrived
			s.set(func(s *testStore) { s.onSync = nil })
			close(goOn)
			for range producers + 1 {
				if err := receive(t, answers, "an answer"); err != nil {
					t.Error(err)
				}
			}
			writes, _, syncs := s.counts()
			if !slices.Equal(writes, []int{1, producers}) || syncs != 2 {
				t.Errorf("writes of %v messages and %d syncs; want [1 %d] and 2", writes, syncs, producers)
			}
		})
	}
}

func TestLargeBatchesAreSplit(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	list := make([]persistence.Entry, 20)
	for i := range list {
		list[i] = entry("t", strings.Repeat("x", 100<<10))
	}
	list[7] = entry("t", strings.Repeat("x", 3<<20))
	first, err := put(t.Context(), q, list...)
	if err != nil || first != 1 {
		t.Fatalf("Put = %d, %v; want 1", first, err)
	}
	writes, _, syncs := s.counts()
	if sum := total(writes); sum != 20 || len(writes) < 4 || slices.Max(writes) > 5 {
		t.Errorf("writes of %v messages; want 20 in writes of at most 512 KiB", writes)
	}
	if syncs > 2 {
		t.Errorf("%d syncs, want them to cover several writes", syncs)
	}
	if f := fetchAll(t, q, 0); len(f.Records) != 20 {
		t.Errorf("%d records", len(f.Records))
	}
}

func total(list []int) (sum int) {
	for _, n := range list {
		sum += n
	}
	return sum
}

func TestEmptyBatchIsAnswered(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	if _, err := put(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

// While a sync is under way the queue serves fetches and settles, and nothing
// that is not synced can be seen.
func TestServesWhileSyncing(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	mustPut(t, q, "t", 3)

	syncing, goOn := make(chan struct{}), make(chan struct{})
	s.set(func(s *testStore) {
		s.onSync = func() error {
			syncing <- struct{}{}
			<-goOn
			return nil
		}
	})
	answers := make(chan error, 2)
	go func() { _, err := put(t.Context(), q, entry("t", "in the sync")); answers <- err }()
	receive(t, syncing, "a sync")

	if f := fetchAll(t, q, 0); len(f.Records) != 3 || f.Last != 3 || f.Through != 3 {
		t.Errorf("while syncing: %d records, last %d; want the 3 that are synced", len(f.Records), f.Last)
	}
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 2}, Reason: types.Sent}}})
	describe(t, q)
	describe(t, q) // behind the flush that the first one let pass
	if st := q.Status(); st.Sent != 2 {
		t.Errorf("while syncing: %d sent, want 2", st.Sent)
	}
	_, deltas, syncs := s.counts()
	if deltas != 1 || syncs != 2 {
		t.Errorf("%d writes of deltas and %d syncs, want 1 and 2", deltas, syncs)
	}
	select {
	case err := <-answers:
		t.Errorf("answered before it was synced: %v", err)
	default:
	}
	s.set(func(s *testStore) { s.onSync = nil })
	close(goOn)
	if err := receive(t, answers, "the answer"); err != nil {
		t.Error(err)
	}
	if f := fetchAll(t, q, 3); len(f.Records) != 1 {
		t.Errorf("%d records after the sync, want 1", len(f.Records))
	}
}

func TestSyncPolicies(t *testing.T) {
	tests := []struct {
		name       string
		within     time.Duration
		before     int // syncs when the message is committed
		afterDelay int // and when the clock has moved on
	}{
		{"always", 0, 1, 1},
		{"500ms", 500 * time.Millisecond, 0, 1},
		{"never", -1, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, clock := newTestStore(), newTestClock()
			synced := make(chan struct{}, 10)
			s.onSync = func() error { synced <- struct{}{}; return nil }
			q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.SyncWithin, c.Clock = test.within, clock })
			mustPut(t, q, "t", 1)
			if _, _, syncs := s.counts(); syncs != test.before {
				t.Errorf("%d syncs when committed, want %d", syncs, test.before)
			}
			if f := fetchAll(t, q, 0); len(f.Records) != 1 {
				t.Errorf("%d messages can be seen, want 1", len(f.Records))
			}
			clock.advance(499 * time.Millisecond)
			describe(t, q)
			if _, _, syncs := s.counts(); syncs != test.before {
				t.Errorf("%d syncs after 499 ms, want %d", syncs, test.before)
			}
			clock.advance(time.Millisecond)
			for range test.afterDelay {
				receive(t, synced, "a sync")
			}
			describe(t, q)
			if _, _, syncs := s.counts(); syncs != test.afterDelay {
				t.Errorf("%d syncs after 500 ms, want %d", syncs, test.afterDelay)
			}
			stop(t, q.Ref)
			if _, _, syncs := s.counts(); syncs <= test.afterDelay {
				t.Error("not synced when closed")
			}
		})
	}
}

func TestCommitDelay(t *testing.T) {
	s, clock := newTestStore(), newTestClock()
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.CommitDelay, c.Clock = 5*time.Millisecond, clock })
	answers := make(chan error, 3)
	for range 3 {
		e := []persistence.Entry{entry("t", "x")}
		if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
			t.Fatal(err)
		}
		q.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) { answers <- err })})
	}
	describe(t, q)
	if writes, _, _ := s.counts(); len(writes) != 0 {
		t.Fatal("written before the delay was over")
	}
	clock.advance(5 * time.Millisecond)
	for range 3 {
		if err := receive(t, answers, "the commit"); err != nil {
			t.Error(err)
		}
	}
	if writes, _, _ := s.counts(); len(writes) != 1 {
		t.Errorf("%d writes, want one", len(writes))
	}
}

// What has left is recorded at once, though messages wait for their commit: until then
// it holds places in the window of the connection.
func TestCommitDelayIsNotForWhatHasLeft(t *testing.T) {
	s, clock := newTestStore(), newTestClock()
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.CommitDelay, c.Clock = time.Hour, clock })
	tell := func() chan error {
		e := []persistence.Entry{entry("t", "x")}
		if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error, 1)
		q.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) { answer <- err })})
		return answer
	}
	first := tell()
	describe(t, q)
	clock.advance(time.Hour)
	if err := receive(t, first, "the commit"); err != nil {
		t.Fatal(err)
	}
	second := tell()
	q.Tell(Settle{Done: []persistence.Done{{Range: rangeOf(1), Reason: types.Sent}}})
	describe(t, q) // behind it,
	describe(t, q) // and behind what it brings
	if state := q.State(); state.Counters.Left[types.Sent] != 1 {
		t.Errorf("%d messages are recorded as sent, want 1", state.Counters.Left[types.Sent])
	}
	if len(second) > 0 {
		t.Error("a message was committed before the delay was over")
	}
}

// S8.1: what is on its way is bounded, whatever the store does.
func TestAdmissionBoundsWhatAStalledStoreHolds(t *testing.T) {
	s := newTestStore()
	stuck := make(chan struct{})
	syncing := make(chan struct{}, 1)
	s.onSync = func() error {
		select {
		case syncing <- struct{}{}:
		default:
		}
		<-stuck
		return nil
	}
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.MaxMessages, c.MaxBytes = 10, 1<<20 })
	ctx, cancel := context.WithCancel(t.Context())
	var told atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := put(ctx, q, entry("t", "x")); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			told.Add(1)
		})
	}
	receive(t, syncing, "a sync")
	for q.Admission().Used().Messages < 10 {
		if _, err := describe(t, q); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Admission().TryAcquire(Cost{1, 1}); !errors.Is(err, types.ErrBusy) {
		t.Errorf("TryAcquire = %v, want ErrBusy", err)
	}
	if used := q.Admission().Used(); used.Messages != 10 {
		t.Errorf("%d messages admitted, want 10", used.Messages)
	}
	cancel()
	wg.Wait() // nobody is held against its context
	close(stuck)
	describe(t, q)
	stop(t, q.Ref)
	if used := q.Admission().Used(); used != (Cost{}) {
		t.Errorf("%+v leaked", used)
	}
	if told.Load() != 100 {
		t.Errorf("%d callers were answered, want 100", told.Load())
	}
}
