package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// turns watches a number of stores being compacted.
type turns struct {
	mu     sync.Mutex
	at     string // whose turn it is
	inside int
	steps  map[string]int
	wrong  []string
	step   func(queue string) // called in each step; nil: nothing
}

// stepped is a queue that takes some steps for each turn.
type stepped struct {
	persistence.Queue
	name string
	of   *turns
	left int
}

const stepsOfTurn = 3

func (q *stepped) Compact(context.Context, int64) (persistence.Compaction, error) {
	t := q.of
	t.mu.Lock()
	if t.inside++; t.inside > 1 {
		t.wrong = append(t.wrong, "two at the same time")
	}
	if t.at != "" && t.at != q.name {
		t.wrong = append(t.wrong, q.name+" in the turn of "+t.at)
	}
	t.at = q.name
	if q.left == 0 {
		q.left = stepsOfTurn
	}
	q.left--
	more := q.left > 0
	if !more {
		t.at = ""
	}
	t.steps[q.name]++
	t.mu.Unlock()
	if t.step != nil {
		t.step(q.name)
	}
	t.mu.Lock()
	t.inside--
	t.mu.Unlock()
	return persistence.Compaction{Rewritten: 1, Reclaimed: 2, More: more}, nil
}

// newTurns starts a compactor and queues that it compacts every so often.
func newTurns(t *testing.T, every time.Duration, names ...string) (*turns, Ref[CompactorMessage], map[string]*Queue) {
	t.Helper()
	sys, s, of := newTestSystem(t), newTestStore(), &turns{steps: make(map[string]int)}
	compactor, err := SpawnCompactor(sys, CompactorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, compactor) })
	queues := make(map[string]*Queue)
	for _, name := range names {
		q, err := SpawnQueue(sys, QueueConfig{Name: name, Compactor: compactor, CompactionInterval: every, Open: func(ctx context.Context) (persistence.Queue, error) {
			q, err := s.Open(ctx, name)
			return &stepped{Queue: q, name: name, of: of}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, q.Ref) })
		queues[name] = q
	}
	return of, compactor, queues
}

func compactNow(ctx context.Context, compactor Ref[CompactorMessage], q *Queue) (persistence.Compaction, error) {
	return Ask(ctx, compactor, func(r Reply[persistence.Compaction]) CompactorMessage { return CompactNow{q, r} })
}

// One queue at a time is compacted, to the end of its turn, however many ask and
// whatever the timers say.
func TestOneQueueAtATime(t *testing.T) {
	names := []string{"a/outgoing", "b/outgoing", "c/outgoing", "d/outgoing"}
	of, compactor, queues := newTurns(t, time.Millisecond, names...)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 50 {
				did, err := compactNow(soon(t), compactor, queues[names[(i+k)%len(names)]])
				if err != nil || did.Rewritten != stepsOfTurn || did.Reclaimed != 2*stepsOfTurn {
					t.Errorf("%+v, %v", did, err)
				}
			}
		})
	}
	wg.Wait()
	of.mu.Lock()
	defer of.mu.Unlock()
	if len(of.wrong) > 0 {
		t.Errorf("%d times wrong, first %s", len(of.wrong), of.wrong[0])
	}
	for _, name := range names {
		if of.steps[name] == 0 {
			t.Errorf("%s was never compacted", name)
		}
	}
}

// Who asks while a queue is being compacted gets a turn that begins after that, and
// so do all who ask with it. A changed interval does not answer anybody early.
func TestCompactNowBeginsAnew(t *testing.T) {
	of, compactor, queues := newTurns(t, 0, "a/outgoing")
	q := queues["a/outgoing"]
	began, on := make(chan struct{}), make(chan struct{})
	var once sync.Once
	of.step = func(string) {
		once.Do(func() {
			close(began)
			<-on
		})
	}
	done := make(chan error, 4)
	ask := func() {
		compactor.Tell(CompactNow{q, func(did persistence.Compaction, err error) {
			if err == nil && did.Rewritten != stepsOfTurn {
				err = fmt.Errorf("%+v", did)
			}
			done <- err
		}})
	}
	ask()
	<-began
	compactor.Tell(Watch{q, time.Hour})
	ask()
	ask()
	ask()
	close(on)
	for range 4 {
		if err := receive(t, done, "an answer"); err != nil {
			t.Error(err)
		}
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	if n := of.steps["a/outgoing"]; n != 2*stepsOfTurn {
		t.Errorf("%d steps, want two turns", n)
	}
}

// Who asks for a queue that has ended, or whose compactor fails, is told so.
func TestCompactNowIsAnswered(t *testing.T) {
	of, compactor, queues := newTurns(t, 0, "a/outgoing", "b/outgoing")
	began, on := make(chan struct{}), make(chan struct{})
	var once sync.Once
	of.step = func(string) {
		once.Do(func() {
			close(began)
			<-on
		})
	}
	done := make(chan error, 1)
	compactor.Tell(CompactNow{queues["a/outgoing"], func(_ persistence.Compaction, err error) { done <- err }})
	<-began
	compactor.Kill()
	if err := receive(t, done, "an answer"); !errors.Is(err, types.ErrInterrupted) {
		t.Errorf("%v of a compactor that failed", err)
	}
	close(on)
	stop(t, queues["b/outgoing"].Ref)
	if _, err := compactNow(soon(t), compactor, queues["b/outgoing"]); !errors.Is(err, types.ErrClosed) {
		t.Errorf("%v of a queue that has ended", err)
	}
	if _, err := compactNow(soon(t), compactor, queues["a/outgoing"]); err != nil {
		t.Error(err)
	}
}

// A process that is started again and again, and never lives until the next
// interval, does not fill the directory.
func TestManyShortLivesAreCompacted(t *testing.T) {
	s := newTestStore()
	sys := newTestSystem(t)
	compactor, err := SpawnCompactor(sys, CompactorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, compactor)
	most := uint64(0)
	for i := range 100 {
		b := newBell()
		q, err := SpawnQueue(sys, QueueConfig{Name: "test/outgoing", Open: s.opener("test/outgoing"), Compactor: compactor, Changed: b.ring})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			mustPut(t, q, "t", 1)
		}
		describe(t, q)
		b.wait(t, "the end of the compaction", func() bool { return !q.State().CompactionDue })
		most = max(most, q.State().DiskBytes)
		stop(t, q.Ref)
	}
	if most > 16<<10 {
		t.Errorf("one message came to take %d bytes", most)
	}
}
