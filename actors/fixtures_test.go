package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// patience is how long a test waits for what must happen.
const testPatience = 20 * time.Second

func newTestSystem(t testing.TB) *System {
	return NewSystem(SystemOptions{RestartAfter: time.Millisecond, RestartMax: 2 * time.Millisecond})
}

// stop stops an actor and fails the test if that does not happen.
func stop[M any](t testing.TB, r Ref[M]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Errorf("stop %s: %v", r.Name(), err)
	}
}

// soon is a context that ends with the patience of the test.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(testPatience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// bell wakes whoever waits for a condition when something changed.
type bell struct {
	mu   sync.Mutex
	cond *sync.Cond
}

func newBell() *bell {
	b := &bell{}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cond.Broadcast()
}

// wait returns once the condition holds; it is looked at when the bell rings.
func (b *bell) wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(testPatience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		late = true
		b.cond.Broadcast()
	})
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !holds() {
		if late {
			t.Fatalf("waited in vain for %s", what)
		}
		b.cond.Wait()
	}
}

// testStore is a memory store whose calls can be watched, held up and failed.
type testStore struct {
	*memory.Store

	mu     sync.Mutex
	opens  int
	writes []int // messages per Write
	deltas int   // Writes without messages
	syncs  int
	onOpen func() error
	onSync func() error
	onWrit func(persistence.Commit) error

	opening sync.Mutex // held while a queue is opened
	dead    bool       // see kill
}

// kill is the death of the process that uses s: what it leaves is the store of the
// next one. Nothing is opened in s any more.
func (s *testStore) kill() *testStore {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.dead = true
	return &testStore{Store: s.Kill()}
}

var errDead = errors.New("the process is dead")

func newTestStore() *testStore { return &testStore{Store: memory.New(memory.Options{})} }

func (s *testStore) opener(name string) func(context.Context) (persistence.Queue, error) {
	return func(ctx context.Context) (persistence.Queue, error) {
		s.mu.Lock()
		s.opens++
		hook := s.onOpen
		s.mu.Unlock()
		if hook != nil {
			if err := hook(); err != nil {
				return nil, err
			}
		}
		s.opening.Lock()
		defer s.opening.Unlock()
		if s.dead {
			return nil, errDead
		}
		q, err := s.Store.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		return &testQueue{q, q.(persistence.Compacter), q.(persistence.DeadReader), q.(persistence.SentReader), q.(persistence.Expirer), s}, nil
	}
}

// set changes the hooks.
func (s *testStore) set(f func(*testStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *testStore) counts() (writes []int, deltas, syncs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.writes...), s.deltas, s.syncs
}

type testQueue struct {
	persistence.Queue
	persistence.Compacter
	persistence.DeadReader
	persistence.SentReader
	persistence.Expirer
	s *testStore
}

func (q *testQueue) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	q.s.mu.Lock()
	if len(c.Messages) > 0 {
		q.s.writes = append(q.s.writes, len(c.Messages))
	} else {
		q.s.deltas++
	}
	hook := q.s.onWrit
	q.s.mu.Unlock()
	if hook != nil {
		if err := hook(c); err != nil {
			return 0, err
		}
	}
	return q.Queue.Write(ctx, c)
}

func (q *testQueue) Sync(ctx context.Context) error {
	q.s.mu.Lock()
	q.s.syncs++
	hook := q.s.onSync
	q.s.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	return q.Queue.Sync(ctx)
}

// startQueue runs a queue on s until the test ends.
func startQueue(t testing.TB, sys *System, s *testStore, change func(*QueueConfig)) (*Queue, *bell) {
	t.Helper()
	b := newBell()
	c := QueueConfig{Name: "test/outgoing", Open: s.opener("test/outgoing"), Changed: b.ring, ReopenAfter: 2 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	q, err := SpawnQueue(sys, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, q.Ref) })
	return q, b
}

func entry(topic, payload string) persistence.Entry {
	return persistence.Entry{Message: types.Message{Topic: topic, Payload: []byte(payload), QoS: 1}, Enqueued: time.Unix(1_700_000_000, 0)}
}

// put stores and waits until that is committed.
func put(ctx context.Context, q *Queue, entries ...persistence.Entry) (types.Seq, error) {
	return q.Put(ctx, entries)
}

// mustPut stores n messages "0", "1", … on the topic.
func mustPut(t testing.TB, q *Queue, topic string, n int) {
	t.Helper()
	list := make([]persistence.Entry, n)
	for i := range list {
		list[i] = entry(topic, fmt.Sprint(i))
	}
	if _, err := put(t.Context(), q, list...); err != nil {
		t.Fatal(err)
	}
}

func fetchAll(t testing.TB, q *Queue, after types.Seq) Fetched {
	t.Helper()
	f, err := Ask(t.Context(), q.Ref, func(r Reply[Fetched]) QueueMessage { return Fetch{After: after, Reply: r} })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// describe returns when the queue has done all that it was told before.
func describe(t testing.TB, q *Queue) (types.QueueStatus, error) {
	t.Helper()
	return Ask(t.Context(), q.Ref, func(r Reply[types.QueueStatus]) QueueMessage { return Describe{r} })
}
