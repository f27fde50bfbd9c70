package runtime_test

import (
	"context"
	"errors"
	"io/fs"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// closedStore says when it was closed.
type closedStore struct {
	persistence.Store
	closed chan struct{}
}

func (s *closedStore) Close() error {
	close(s.closed)
	return s.Store.Close()
}

// A store has one owner: Close that runs out of time leaves it to the queue that
// still writes, and closes it behind that.
func TestCloseLeavesABusyStoreAlone(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	release := make(chan struct{})
	store := &closedStore{&stuckStore{Store: h.store, name: "cloud/outgoing", release: release}, make(chan struct{})}
	rt, err := runtime.Open(t.Context(), h.optionsFor(t, store))
	if err != nil {
		t.Fatal(err)
	}
	p, err := rt.Connection("cloud").PublishAsync(t.Context(), message("t", "x"))
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := rt.Close(over); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	select {
	case <-store.closed:
		t.Fatal("the store was closed while its queue wrote to it")
	default:
	}
	close(release)
	if _, err := p.Stored(t.Context()); err != nil {
		t.Errorf("what was under way: %v", err)
	}
	<-store.closed
}

// What a failed Open began is stopped again: actors, queues, stores.
func TestOpenFailsHalfWay(t *testing.T) {
	h := newHouse()
	before := goruntime.NumGoroutine()
	store := &closedStore{faultstore.New(h.store), make(chan struct{})}
	store.Store.(*faultstore.Store).Inject(faultstore.Fault{Op: faultstore.Open, After: 1, Times: -1, Err: fs.ErrPermission})
	o := h.optionsFor(t, store, "first", "second")
	if _, err := runtime.Open(t.Context(), o); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("open: %v", err)
	}
	<-store.closed
	settle(t, before)
}

// S2.1: while one of the queues of a message cannot store, the others do not
// take it either: the client sends it again and again.
func TestRouteWhileAQueueIsInTrouble(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	store := faultstore.New(h.store)
	store.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Op == faultstore.Write && c.Queue == "b/outgoing" && c.Batch.Messages > 0 {
			return faultstore.DiskFull()
		}
		return nil
	})
	rt, err := runtime.Open(t.Context(), h.optionsFor(t, store, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRuntime(t, rt) })
	answer := make(chan error, 1)
	for range 10 {
		if !rt.Route(message("t", "x"), types.Origin{}, func(err error) { answer <- err }, func() {}) {
			t.Fatal("no room")
		}
		if err := <-answer; !errors.As(err, new(*types.StoreError)) {
			t.Errorf("answered with %v", err)
		}
	}
	if n := rt.Connection("a").Status().Outgoing.Accepted; n > 1 {
		t.Errorf("the other queue took the message %d times", n)
	}
}

// The first queue that fails is the answer: whoever is to send a message again
// must know before others that came after it are stored.
func TestRouteAnswersWithTheFirstError(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	store := faultstore.New(h.store)
	store.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Op == faultstore.Write && c.Queue == "b/outgoing" && c.Batch.Messages > 0 {
			return faultstore.DiskFull()
		}
		return nil
	})
	release := make(chan struct{})
	rt, err := runtime.Open(t.Context(), h.optionsFor(t, &stuckStore{Store: store, name: "a/outgoing", release: release}, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRuntime(t, rt) })
	answers := make(chan error, 2)
	if !rt.Route(message("t", "x"), types.Origin{}, func(err error) { answers <- err }, func() {}) {
		t.Fatal("no room")
	}
	if err := <-answers; !errors.As(err, new(*types.StoreError)) {
		t.Errorf("answered with %v", err)
	}
	close(release)
	closeRuntime(t, rt)
	if len(answers) > 0 {
		t.Error("answered twice")
	}
}

// A watcher that nobody reads from ends with the runtime.
func TestWatchThatNobodyReads(t *testing.T) {
	before := goruntime.NumGoroutine()
	rt := newHouse().open(t, config.Connection{Name: "cloud"})
	for range 100 {
		rt.Watch(context.Background())
	}
	closeRuntime(t, rt)
	settle(t, before+10)
}

// unreadable is a store whose queues find their oldest message unreadable, and
// take it out, when they are read.
type unreadable struct{ persistence.Store }

func (s unreadable) Open(ctx context.Context, name string) (persistence.Queue, error) {
	q, err := s.Store.Open(ctx, name)
	return unreadableQueue{q}, err
}

type unreadableQueue struct{ persistence.Queue }

func (q unreadableQueue) Read(ctx context.Context, buf []persistence.Record, _ types.Seq, _ persistence.Limit) ([]persistence.Record, error) {
	lost := persistence.Range{First: q.State().Floor + 1, Last: q.State().Next - 1}
	_, err := q.Write(ctx, persistence.Commit{Done: []persistence.Done{{Range: lost, Reason: types.Quarantined}}})
	return buf, err
}

// Whoever waits for a message that turns out to be unreadable learns that,
// whether it began to wait before or after, and so does Drain.
func TestUnreadableMessage(t *testing.T) {
	h := newHouse()
	rt, err := runtime.Open(t.Context(), h.optionsFor(t, unreadable{h.store}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRuntime(t, rt) })
	conn := rt.Connection("cloud")
	for range 20 {
		p, err := conn.PublishAsync(t.Context(), message("t", "x"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := conn.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		if err := p.Delivered(ctx); !errors.Is(err, types.ErrNotDelivered) {
			t.Fatalf("delivered: %v", err)
		}
	}
}

// optionsFor are the options of a runtime on store with connections of these
// names, "cloud" if there are none.
func (h *house) optionsFor(t testing.TB, store persistence.Store, names ...string) runtime.Options {
	t.Helper()
	if len(names) == 0 {
		names = []string{"cloud"}
	}
	var cfg config.Config
	for _, name := range names {
		cfg.Connections = append(cfg.Connections, config.Connection{Name: name, Broker: "mqtt://loopback", ClientID: name})
	}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	return runtime.Options{
		Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}),
		Dialer: func(config.Connection) (broker.Dialer, error) { return h.broker, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	}
}

// settle waits until no more goroutines run than so many.
func settle(t testing.TB, most int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); goruntime.NumGoroutine() > most; goruntime.Gosched() {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines run, %d were expected:\n%s", goruntime.NumGoroutine(), most, stacks[:goruntime.Stack(stacks, true)])
		}
	}
}
