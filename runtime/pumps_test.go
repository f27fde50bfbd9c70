package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// relay is a runtime with a broker a, whose messages are stored, and others that
// they are relayed to.
type relay struct {
	t       *testing.T
	store   *memory.Store
	faults  *faultstore.Store
	brokers map[string]*loopback.Broker
	config  config.Config
	local   runtime.Local
	rt      *runtime.Runtime
	ended   sync.Once
}

func newRelay(t *testing.T, targets ...string) *relay {
	r := &relay{t: t, store: memory.New(memory.Options{}), brokers: map[string]*loopback.Broker{"a": loopback.New(1)}}
	r.config.Connections = []config.Connection{{Name: "a", Persist: config.Persist{Incoming: config.On}, Subscribe: []config.Subscribe{{Topic: "in/#", QoS: config.QoS2}}}}
	for i, name := range targets {
		r.brokers[name] = loopback.New(uint64(i + 2))
		r.config.Connections = append(r.config.Connections, config.Connection{
			Name: name, Broker: "mqtt://" + name, Forward: []config.Forward{{Topic: "in/#", Relay: true}},
		})
	}
	t.Cleanup(r.close)
	return r
}

// start starts the runtime on what is stored.
func (r *relay) start() {
	r.t.Helper()
	cfg := r.config
	cfg.Connections = named(slices.Clone(cfg.Connections))
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		r.t.Fatal(err)
	}
	r.faults, r.ended = faultstore.New(r.store), sync.Once{}
	rt, err := runtime.Open(r.t.Context(), runtime.Options{
		Config: cfg, Durable: r.faults, Volatile: memory.New(memory.Options{}), Local: r.local,
		Dialer: func(c config.Connection) (broker.Dialer, error) { return r.brokers[c.Name], nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.rt = rt
}

func (r *relay) close() {
	if r.rt != nil {
		r.ended.Do(func() { closeRuntime(r.t, r.rt) })
	}
}

// kill ends the process, which may have been dead for a while, and starts another.
func (r *relay) kill(survives *memory.Store) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.ended.Do(func() { _ = r.rt.Close(ctx) })
	r.store = survives
	r.start()
}

// publish publishes numbered messages at the broker a, once we have subscribed there.
func (r *relay) publish(first, last int) {
	r.t.Helper()
	if err := r.brokers["a"].WaitForFilters(r.t.Context(), "a", 1); err != nil {
		r.t.Fatal(err)
	}
	for i := first; i <= last; i++ {
		r.brokers["a"].Publish(types.Message{Topic: fmt.Sprint("in/", i%3), Payload: fmt.Appendf(nil, "%d", i), QoS: 2})
	}
}

// arrived waits for messages first to last at a broker, and says what came otherwise.
func (r *relay) arrived(name string, last int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if err := r.brokers[name].WaitFor(ctx, last); err != nil {
		r.t.Fatalf("%s got %d of %d: %v; %+v", name, len(r.brokers[name].Published()), last, err, r.rt.Status())
	}
	checkNumbered(r.t, name, r.brokers[name].Published(), last)
}

// checkNumbered says what is wrong with messages that should be 1 to last, in order.
func checkNumbered(t *testing.T, where string, list []types.Message, last int) {
	t.Helper()
	var want, got []string
	for i := 1; i <= last; i++ {
		want = append(want, fmt.Sprint(i))
	}
	for _, m := range list {
		got = append(got, string(m.Payload))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s got %d messages, want %d, each once and in order: %q", where, len(got), last, got)
	}
}

// stored reads what was ever stored in a queue of which nothing was removed.
func stored(t *testing.T, s *memory.Store, queue string) (list []types.Message) {
	t.Helper()
	q, err := s.Open(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(t.Context())
	records, err := q.Read(t.Context(), nil, 0, persistence.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		list = append(list, r.Message)
	}
	return list
}

// session opens a persistent session for all that comes in, whose client takes what
// it gets and acknowledges nothing.
func (r *relay) session() {
	r.t.Helper()
	s, err := nowhere{}.Open(r.t.Context(), r.rt)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := s.Subscribe(r.t.Context(), []actors.Subscription{{Filter: "in/#", QoS: 2}}); err != nil {
		r.t.Fatal(err)
	}
}

// S4.3, S6.2: a message of a broker is stored once for each that it is relayed to, and
// for local sessions, and reaches them in order, wherever the process dies: before
// each of the writes of all queues, and behind it.
func TestPumpsSurviveEachStep(t *testing.T) {
	const count = 12
	for step := 1; ; step++ {
		done := false
		t.Run(fmt.Sprint("write ", step), func(t *testing.T) {
			r := newRelay(t, "b", "c")
			r.local = nowhere{}
			r.start()
			r.session()
			r.publish(1, 1) // then it is stored what the broker has granted
			r.arrived("b", 1)
			var survives *memory.Store
			dead := make(chan struct{})
			writes := 0
			var mu sync.Mutex
			r.faults.Before(func(_ context.Context, c faultstore.Call) error {
				mu.Lock()
				defer mu.Unlock()
				if c.Op == faultstore.Write {
					if writes++; writes == step {
						survives = r.store.Kill()
						close(dead)
					}
				}
				return nil
			})
			r.publish(2, count)
			finished := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				defer close(finished)
				for _, name := range []string{"b", "c"} {
					if r.brokers[name].WaitFor(ctx, count) != nil {
						return
					}
				}
			}()
			select {
			case <-dead:
				cancel()
				r.kill(survives)
			case <-finished:
				done = true
			}
			cancel()
			for _, name := range []string{"b", "c"} {
				r.arrived(name, count)
			}
			await(t, r.rt, "all to be stored for the session, and nothing to wait", func(list []types.Status) bool {
				return list[0].Incoming.Pending == 0 && list[len(list)-1].Outgoing.Pending == count
			})
			r.close()
			checkNumbered(t, "the session", stored(t, r.store, "_local/outgoing"), count)
		})
		if done || t.Failed() {
			t.Logf("%d steps", step)
			break
		}
	}
}
