package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// times is what a hook was told.
type times struct {
	mu   sync.Mutex
	list []time.Duration
}

func (l *times) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, d)
}

func (l *times) all() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

// A commit is timed once, from its first message on; a message from its acceptance
// until the broker has it.
func TestLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var committed, delivered times
		store, sys := newTestStore(), newTestSystem(t)
		store.onSync = func() error {
			time.Sleep(30 * time.Millisecond)
			return nil
		}
		q, changed := startQueue(t, sys, store, func(c *QueueConfig) { c.Committed = committed.add })
		mustPut(t, q, "alone", 1)
		mustPut(t, q, "together", 3)
		if got, want := committed.all(), []time.Duration{30 * time.Millisecond, 30 * time.Millisecond}; !slices.Equal(got, want) {
			t.Errorf("commits took %v, want %v", got, want)
		}
		time.Sleep(time.Hour)
		c, err := SpawnConnection(sys, ConnectionConfig{
			Name: "c", Dialer: &echoLink{packets: make(chan []broker.Publish, 1000)}, Queue: q, MaxQoS: 1, Delivered: delivered.add,
		})
		if err != nil {
			t.Fatal(err)
		}
		changed.wait(t, "an empty queue", func() bool { return q.Status().Pending == 0 })
		stop(t, c.Ref)
		got := delivered.all()
		if len(got) != 4 || slices.Min(got) < time.Hour || slices.Max(got) > time.Hour+time.Minute {
			t.Errorf("deliveries took %v, want four times an hour and a little", got)
		}
		stop(t, q.Ref)
	})
}

// What was not stored has taken no time.
func TestFailedCommitIsNotTimed(t *testing.T) {
	var committed times
	store := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), store, func(c *QueueConfig) { c.Committed = committed.add })
	store.set(func(s *testStore) { s.onWrit = func(persistence.Commit) error { return errors.New("broken") } })
	if _, err := put(t.Context(), q, entry("t", "x")); err == nil {
		t.Error("stored in a store that is broken")
	}
	if got := committed.all(); len(got) > 0 {
		t.Errorf("timed: %v", got)
	}
}

// BenchmarkLatencies shows what the hooks cost without a store, where a commit holds
// two messages and takes 2 µs: two looks at the clock for each commit, of 50 ns. A
// delivery costs its call.
func BenchmarkLatencies(b *testing.B) {
	for name, timed := range map[string]bool{"off": false, "on": true} {
		var count atomic.Uint64
		var hook func(time.Duration)
		if timed {
			hook = func(time.Duration) { count.Add(1) }
		}
		b.Run(fmt.Sprintf("enqueue/hooks=%s", name), func(b *testing.B) {
			store := &instantQueue{}
			q, err := SpawnQueue(newTestSystem(b), QueueConfig{Name: "q", Open: store.open, Committed: hook})
			if err != nil {
				b.Fatal(err)
			}
			defer stop(b, q.Ref)
			list := []persistence.Entry{{Message: types.Message{Topic: "sensors/1/value", Payload: make([]byte, 200), QoS: 1}}}
			b.ResetTimer()
			produce(b, 64, func() error {
				_, err := q.Put(context.Background(), list)
				return err
			})
			b.ReportMetric(float64(b.N)/float64(store.writes), "msg/write")
		})
		b.Run(fmt.Sprintf("drain/hooks=%s", name), func(b *testing.B) {
			e := entry("sensors/1/value", string(make([]byte, 200)))
			e.Enqueued = time.Now()
			store := &instantQueue{next: types.Seq(b.N), record: persistence.Record{Entry: e}}
			drain(b, store.open, hook)
		})
		if timed && count.Load() == 0 {
			b.Error("the hooks were not called")
		}
	}
}
