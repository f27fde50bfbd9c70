//go:build !js

package mqttdb_test

import (
	"context"
	"fmt"
	goruntime "runtime"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// flood is a broker that sends numbered messages as fast as they are acknowledged, so
// many at a time.
type flood struct {
	mu     sync.Mutex
	events func(broker.Event)
	ready  bool // we have subscribed
	next   int
	last   int
	open   int
	acked  func(int) // is told how many messages were acknowledged
}

const floodWindow = 1000

// Dial implements broker.Dialer.
func (f *flood) Dial(_ context.Context, _ broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events, f.ready, f.open = events, false, 0
	return f, broker.Session{MaxQoS: 2}, nil
}

func (f *flood) Publish([]broker.Publish) error     { return nil }
func (f *flood) Release([]uint16) error             { return nil }
func (f *flood) Unsubscribe(uint16, []string) error { return nil }

func (f *flood) Subscribe(id uint16, filters []broker.Filter) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events(broker.Subscribed{ID: id, Codes: make([]byte, len(filters))})
	f.ready = true
	f.send()
	return nil
}

// send sends what there is room for; the lock is held.
func (f *flood) send() {
	var list []broker.Inbound
	for f.ready && f.next < f.last && f.open < floodWindow {
		f.next++
		f.open++
		list = append(list, broker.Inbound{ID: uint16(f.next%60000 + 1), Message: types.Message{
			Topic: fmt.Sprint("in/", f.next%10), Payload: fmt.Appendf(nil, `{"n":%d}`, f.next), QoS: 1,
		}})
	}
	if len(list) > 0 {
		f.events(broker.Received{Packets: list})
	}
}

// upTo has it send up to that number.
func (f *flood) upTo(last int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = last
	f.send()
}

func (f *flood) Acknowledge(acks []broker.Ack) error {
	f.mu.Lock()
	f.open -= len(acks)
	f.send()
	n := f.next - f.open
	f.mu.Unlock()
	f.acked(n)
	return nil
}

func (f *flood) Close(bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = false
	f.events(broker.Down{})
}

// Guarantee 18, and 8: what comes in, and waits for a program that is away, takes disk and
// no memory.
func TestMemoryOfIncoming(t *testing.T) {
	const first, last = 50_000, 300_000
	f, acked := &flood{}, make(chan int, 1)
	f.acked = func(n int) {
		if n == first || n == last {
			acked <- n
		}
	}
	store, err := nutsdb.Open(t.TempDir(), nutsdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Config{Connections: []config.Connection{{
		Name: "a", Broker: "mqtt://flood", Persist: config.Persist{Incoming: config.On}, Sync: config.Never,
		Forward: []config.Forward{}, Subscribe: []config.Subscribe{{Topic: "in/#"}},
	}}}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.Open(t.Context(), runtime.Options{
		Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}),
		Dialer: func(config.Connection) (broker.Dialer, error) { return f, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rt.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	s, err := rt.Connection("a").Subscribe(t.Context(), runtime.SubscribeOptions{Name: "away", Filters: []string{"in/#"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	used := func(upTo int) int64 {
		t.Helper()
		f.upTo(upTo)
		select {
		case <-acked:
		case <-t.Context().Done():
		}
		goruntime.GC()
		var m goruntime.MemStats
		goruntime.ReadMemStats(&m)
		st := rt.Connection("a").Status().Incoming
		t.Logf("%d messages wait: %.1f MiB in use, %.1f MiB from the system, %d bytes on disk each", st.Pending, float64(m.HeapInuse)/(1<<20), float64(m.Sys)/(1<<20), st.BytesWritten/max(st.Pending, 1))
		return int64(m.HeapInuse)
	}
	before := used(first)
	after := used(last)
	if more, most := after-before, int64(8<<20); more > most {
		t.Errorf("%d messages more take %d bytes of memory more, want at most %d", last-first, more, most)
	}
	if n := rt.Connection("a").Status().Incoming.Pending; n != last {
		t.Errorf("%d messages wait, want %d", n, last)
	}
}
