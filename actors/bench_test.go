package actors

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// instantQueue is a store that costs nothing: what is left is the actor.
type instantQueue struct {
	mu     sync.Mutex
	next   types.Seq
	floor  types.Seq
	writes int
	record persistence.Record
}

func (q *instantQueue) open(context.Context) (persistence.Queue, error) { return q, nil }

func (q *instantQueue) Write(_ context.Context, c persistence.Commit) (types.Seq, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writes++
	for _, d := range c.Done {
		q.floor = max(q.floor, d.Range.Last) // acknowledged in order
	}
	if len(c.Messages) == 0 {
		return 0, nil
	}
	first := q.next + 1
	q.next += types.Seq(len(c.Messages))
	return first, nil
}

func (q *instantQueue) Sync(context.Context) error { return nil }

func (q *instantQueue) Read(_ context.Context, buf []persistence.Record, after types.Seq, l persistence.Limit) ([]persistence.Record, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if buf == nil {
		buf = make([]persistence.Record, 0, l.Records)
	}
	for seq := max(after, q.floor) + 1; seq <= q.next && (l.Records == 0 || len(buf) < l.Records); seq++ {
		r := q.record
		r.Seq = seq
		buf = append(buf, r)
	}
	return buf, nil
}

func (q *instantQueue) State() persistence.State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return persistence.State{Next: q.next + 1, Floor: q.floor}
}

func (q *instantQueue) Marks(string) iter.Seq2[string, []byte] {
	return func(func(string, []byte) bool) {}
}

func (q *instantQueue) Close(context.Context) error { return nil }

// BenchmarkEnqueue is the hop from a caller to the queue and back, without a
// store. How commits fill up on a slow disk is measured in bench.
func BenchmarkEnqueue(b *testing.B) {
	for name, within := range map[string]time.Duration{"always": 0, "never": -1} {
		for _, producers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("sync=%s/producers=%d", name, producers), func(b *testing.B) {
				store := &instantQueue{}
				q, err := SpawnQueue(newTestSystem(b), QueueConfig{Name: "q", Open: store.open, SyncWithin: within})
				if err != nil {
					b.Fatal(err)
				}
				defer stop(b, q.Ref)
				payload := make([]byte, 200)
				b.ReportAllocs()
				b.ResetTimer()
				produce(b, producers, func() error {
					e := []persistence.Entry{{Message: types.Message{Topic: "sensors/1/value", Payload: payload, QoS: 1}}}
					_, err := q.Put(context.Background(), e)
					return err
				})
				b.StopTimer()
				b.ReportMetric(float64(b.N)/float64(store.writes), "msg/write")
			})
		}
	}
}

// produce has n goroutines do b.N things.
func produce(b *testing.B, n int, f func() error) {
	var wg sync.WaitGroup
	for p := range n {
		wg.Go(func() {
			for i := p; i < b.N; i += n {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// echoLink acknowledges at once, in one batch, on another goroutine.
type echoLink struct {
	broker.Link
	packets chan []broker.Publish
	events  func(broker.Event)
}

// Dial implements broker.Dialer.
func (l *echoLink) Dial(_ context.Context, _ broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	l.events = events
	go func() {
		for batch := range l.packets {
			acks := make([]broker.Ack, len(batch))
			for i, p := range batch {
				acks[i] = broker.Ack{Kind: broker.PubAck, ID: p.ID}
			}
			events(broker.Acked{Acks: acks})
		}
	}()
	return l, broker.Session{MaxQoS: 2}, nil
}

func (l *echoLink) Publish(p []broker.Publish) error { l.packets <- slices.Clone(p); return nil }
func (l *echoLink) Close(bool)                       { l.events(broker.Down{}); close(l.packets) }

// BenchmarkDrain is the way of a stored message to the link and of its
// acknowledgement back, without a network; with no store, and with the journal
// in memory.
func BenchmarkDrain(b *testing.B) {
	b.Run("store=none", func(b *testing.B) {
		store := &instantQueue{next: types.Seq(b.N), record: persistence.Record{Entry: entry("sensors/1/value", string(make([]byte, 200)))}}
		drain(b, store.open, nil)
		b.ReportMetric(float64(b.N)/float64(store.writes), "msg/write")
	})
	b.Run("store=memory", func(b *testing.B) {
		store := newTestStore()
		q, err := store.Open(b.Context(), "q")
		if err != nil {
			b.Fatal(err)
		}
		c := persistence.Commit{Messages: []persistence.Entry{entry("sensors/1/value", string(make([]byte, 200)))}}
		for len(c.Messages) < 256 {
			c.Messages = append(c.Messages, c.Messages[0])
		}
		for left := b.N; left > 0; left -= len(c.Messages) {
			c.Messages = c.Messages[:min(left, len(c.Messages))]
			if _, err := q.Write(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		if err := q.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		drain(b, store.opener("q"), nil)
		_, deltas, _ := store.counts()
		b.ReportMetric(float64(b.N)/float64(deltas), "msg/write")
	})
}

// drain sends what the queue holds, and tells delivered, if it is not nil.
func drain(b *testing.B, open func(context.Context) (persistence.Queue, error), delivered func(time.Duration)) {
	sys, changed := newTestSystem(b), newBell()
	b.ReportAllocs()
	b.ResetTimer()
	q, err := SpawnQueue(sys, QueueConfig{Name: "c/outgoing", Open: open, Changed: changed.ring})
	if err != nil {
		b.Fatal(err)
	}
	c, err := SpawnConnection(sys, ConnectionConfig{Name: "c", Dialer: &echoLink{packets: make(chan []broker.Publish, 1000)}, Queue: q, MaxQoS: 1, Delivered: delivered})
	if err != nil {
		b.Fatal(err)
	}
	changed.wait(b, "an empty queue", func() bool { s := q.State(); return s.Next > 1 && s.Pending() == 0 })
	b.StopTimer()
	stop(b, c.Ref)
	stop(b, q.Ref)
}
