package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestTroubleAndReopening(t *testing.T) {
	broken := errors.New("disk full")
	tests := []struct {
		name string
		hurt func(*testStore)
	}{
		{"write", func(s *testStore) { s.onWrit = func(persistence.Commit) error { return broken } }},
		{"sync", func(s *testStore) { s.onSync = func() error { return broken } }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, clock := newTestStore(), newTestClock()
			q, b := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock, c.ReopenAfter = clock, 5*time.Second })
			mustPut(t, q, "t", 2)
			s.set(test.hurt)
			s.set(func(s *testStore) { s.onOpen = func() error { return broken } })
			var trouble *types.StoreError
			if _, err := put(t.Context(), q, entry("t", "x")); !errors.As(err, &trouble) || !errors.Is(err, broken) || trouble.Queue != "test/outgoing" {
				t.Errorf("Put = %v, want a StoreError that names the queue", err)
			}
			// refused as long as it lasts, and shown
			if _, err := put(t.Context(), q, entry("t", "x")); !errors.Is(err, broken) {
				t.Errorf("Put = %v, want the trouble", err)
			}
			if st := q.Status(); st.Trouble == "" || st.Pending < 2 {
				t.Errorf("status %+v, want its trouble and what was pending", st)
			}
			if used := q.Admission().Used(); used != (Cost{}) {
				t.Errorf("%+v leaked", used)
			}
			opens := func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.opens }
			if clock.advance(4999 * time.Millisecond); opens() != 1 {
				t.Error("opened again before its time")
			}
			clock.advance(time.Millisecond)
			describe(t, q)
			if opens() != 2 || q.Trouble() == nil {
				t.Errorf("%d opens, trouble %v; want a second one that failed", opens(), q.Trouble())
			}
			s.set(func(s *testStore) { s.onOpen, s.onSync, s.onWrit = nil, nil, nil })
			clock.advance(9999 * time.Millisecond)
			describe(t, q)
			if opens() != 2 {
				t.Error("the second wait is not longer than the first")
			}
			clock.advance(time.Millisecond)
			b.wait(t, "the end of the trouble", func() bool { return q.Trouble() == nil })
			mustPut(t, q, "t", 1)
			if n := len(fetchAll(t, q, 0).Records); n < 3 {
				t.Errorf("%d messages, want those of before and after", n)
			}
		})
	}
}

func TestOpenFailsAtStart(t *testing.T) {
	s := newTestStore()
	s.onOpen = func() error { return types.ErrForeign }
	clock := newTestClock()
	q, b := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock = clock })
	if _, err := describe(t, q); !errors.Is(err, types.ErrForeign) {
		t.Errorf("Describe: %v, want why it cannot be opened", err)
	}
	if _, err := put(t.Context(), q, entry("t", "x")); !errors.Is(err, types.ErrForeign) {
		t.Errorf("Put: %v, want why it cannot be opened", err)
	}
	if st := q.Status(); st.Pending != 0 || st.Trouble == "" {
		t.Errorf("status %+v", st)
	}
	s.set(func(s *testStore) { s.onOpen = nil })
	clock.advance(time.Minute)
	b.wait(t, "the store", func() bool { return q.Trouble() == nil })
	mustPut(t, q, "t", 1)
}

// Every caller is answered exactly once, also those that the actor never came
// to because it was stopped.
func TestEveryoneIsAnsweredAtTheEnd(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	const n = 5000
	answers := make([]atomic.Int32, n)
	var outstanding sync.WaitGroup
	outstanding.Add(n)
	var storedOK atomic.Int64
	go stop(t, q.Ref)
	for i := range n {
		e := []persistence.Entry{entry("t", fmt.Sprint(i))}
		if err := q.Admission().Acquire(t.Context(), CostOf(e)); err != nil {
			if !errors.Is(err, types.ErrClosed) {
				t.Fatal(err)
			}
			answers[i].Add(1)
			outstanding.Done()
			continue
		}
		q.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) {
			switch {
			case err == nil:
				storedOK.Add(1)
			case !errors.Is(err, types.ErrClosed):
				t.Errorf("answer %v", err)
			}
			if answers[i].Add(1) == 1 {
				outstanding.Done()
			}
		})})
	}
	finished := make(chan struct{})
	go func() { outstanding.Wait(); close(finished) }()
	receive(t, finished, "all answers")
	for i := range answers {
		if got := answers[i].Load(); got != 1 {
			t.Fatalf("caller %d was answered %d times", i, got)
		}
	}
	if used := q.Admission().Used(); used != (Cost{}) {
		t.Errorf("%+v leaked", used)
	}
	again, err := s.Store.Open(t.Context(), "test/outgoing")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(t.Context())
	if p := again.State().Pending(); p != uint64(storedOK.Load()) {
		t.Errorf("%d stored, %d answered as stored", p, storedOK.Load())
	}
}

// A sync that fails while the queue is told to stop is not tried again: the
// next answer could be a wrong yes.
func TestSyncFailsAtTheEnd(t *testing.T) {
	s := newTestStore()
	syncing, release := make(chan struct{}, 10), make(chan struct{})
	failed := false
	s.onSync = func() error {
		if failed {
			return nil
		}
		failed = true
		syncing <- struct{}{}
		<-release
		return errors.New("the disk is broken")
	}
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	stored := make(chan error, 1)
	go func() { _, err := put(context.Background(), q, entry("t", "x")); stored <- err }()
	receive(t, syncing, "a sync")
	q.Ref.to.post(&actor.PoisonPill{}) // is there before the end of the sync is told
	close(release)
	if err := receive(t, stored, "an answer"); err == nil {
		t.Error("acknowledged what a sync that failed was to make durable")
	}
}

// What is stored of several messages that were told one after the other, when
// the queue fails in between, is their beginning.
func TestFailureRefusesWhatWasToldBefore(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	busy, release := make(chan struct{}), make(chan struct{})
	q.Tell(Fetch{Reply: func(Fetched, error) { close(busy); <-release }})
	receive(t, busy, "the queue")
	var answers [4]chan error
	for i := range answers {
		answers[i] = make(chan error, 1)
		e := []persistence.Entry{entry("t", fmt.Sprint(i))}
		if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
			t.Fatal(err)
		}
		q.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) { answers[i] <- err })})
		if i == 1 {
			q.Kill() // the first two are waiting for their commit
		}
	}
	close(release)
	for i := range answers {
		if err := receive(t, answers[i], "an answer"); !errors.Is(err, types.ErrInterrupted) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	mustPut(t, q, "t", 1)
	if used := q.Admission().Used(); used != (Cost{}) {
		t.Errorf("%+v leaked", used)
	}
}

// A completion that fails does not keep the others from being answered.
func TestCompletionThatPanics(t *testing.T) {
	s := newTestStore()
	hold := make(chan struct{})
	syncing := make(chan struct{}, 10)
	s.onSync = func() error { syncing <- struct{}{}; <-hold; return nil }
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	go func() { _, _ = put(context.Background(), q, entry("t", "first")) }()
	receive(t, syncing, "a sync")
	answers := make(chan error, 20)
	for i := range 20 {
		e := []persistence.Entry{entry("t", "x")}
		if err := q.Admission().TryAcquire(CostOf(e)); err != nil {
			t.Fatal(err)
		}
		q.Tell(Enqueue{Entries: e, Done: CompletionFunc(func(_ types.Seq, err error) {
			answers <- err
			if i == 5 {
				panic("a bug of the caller")
			}
		})})
	}
	close(hold)
	failed := 0
	for range 20 {
		if err := receive(t, answers, "an answer"); errors.Is(err, types.ErrInterrupted) {
			failed++
		}
	}
	if failed != 14 {
		t.Errorf("%d callers were interrupted, want the 14 behind the bug", failed)
	}
	mustPut(t, q, "t", 1)
	if used := q.Admission().Used(); used != (Cost{}) {
		t.Errorf("%+v leaked", used)
	}
}

func TestQueueSurvivesKills(t *testing.T) {
	for _, within := range []time.Duration{0, time.Millisecond, -1} {
		t.Run(fmt.Sprint(within), func(t *testing.T) {
			s := newTestStore()
			q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.SyncWithin = within })
			const producers = 8
			work := make(chan struct{}, 100)
			var wg sync.WaitGroup
			var stored [producers][]string
			var interrupted atomic.Int64
			for p := range producers {
				wg.Go(func() {
					i := 0
					for range work {
						text := fmt.Sprintf("%d/%d", p, i)
						i++
						switch _, err := put(t.Context(), q, entry("t", text)); {
						case err == nil:
							stored[p] = append(stored[p], text)
						case errors.Is(err, types.ErrInterrupted):
							interrupted.Add(1)
						default:
							t.Error(err)
						}
					}
				})
			}
			for range 50 {
				for range 300 {
					work <- struct{}{}
				}
				q.Kill()
			}
			close(work)
			wg.Wait()
			mustPutSoon(t, q)
			at := make(map[string]int)
			for i, r := range fetchAll(t, q, 0).Records {
				if _, twice := at[string(r.Message.Payload)]; twice {
					t.Errorf("%s is stored twice", r.Message.Payload)
				}
				at[string(r.Message.Payload)] = i
			}
			for p := range stored {
				last := -1
				for _, text := range stored[p] {
					i, found := at[text]
					if !found || i < last {
						t.Errorf("%s was acknowledged: found %v, at %d behind %d", text, found, i, last)
					}
					last = i
				}
			}
			if used := q.Admission().Used(); used != (Cost{}) {
				t.Errorf("%+v leaked", used)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.opens != 51 {
				t.Errorf("%d opens, want 51", s.opens)
			}
			t.Logf("%d interrupted", interrupted.Load())
		})
	}
}

// mustPutSoon stores a message, trying again when it is interrupted.
func mustPutSoon(t testing.TB, q *Queue) {
	t.Helper()
	for {
		_, err := put(t.Context(), q, entry("t", "soon"))
		if err == nil {
			return
		}
		if !errors.Is(err, types.ErrInterrupted) {
			t.Fatal(err)
		}
	}
}
