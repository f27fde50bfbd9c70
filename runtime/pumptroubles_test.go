package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goruntime "runtime"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// S6.2: a target whose store takes nothing holds up nobody else; what is for it waits
// in the incoming queue, and comes when it takes something again.
func TestStuckTargetHoldsUpNobody(t *testing.T) {
	for _, how := range []struct {
		name string
		call func() error
	}{
		{"it fails", faultstore.DiskFull},
		{"it waits", nil},
	} {
		t.Run(how.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStuckTarget(t, how.call) })
		})
	}
}

func testStuckTarget(t *testing.T, call func() error) {
	r := newRelay(t, "b", "c")
	defer r.close()
	r.start()
	r.publish(1, 1)
	r.arrived("b", 1)
	r.arrived("c", 1)
	release := make(chan struct{})
	r.faults.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Queue != "b/outgoing" || c.Op != faultstore.Write || c.Batch.Messages == 0 {
			return nil
		}
		select {
		case <-release:
			return nil
		default:
		}
		if call != nil {
			return call()
		}
		<-release
		return nil
	})
	r.publish(2, 2000)
	r.arrived("c", 2000)
	synctest.Wait()
	list, err := r.rt.Connection("a").Consumers(t.Context())
	if err != nil || len(list) != 3 || list[1].Name != "b" || list[1].Kind != types.RelayConsumer || list[1].Behind < 1000 || list[0].Behind+list[2].Behind > 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if n := r.rt.Status()[0].Incoming.Pending; n != 1999 {
		t.Errorf("%d messages wait for b, want 1999", n)
	}
	mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "away", Filters: []string{"in/#"}}).Close()
	r.publish(2001, 2001) // waits for a program, too, which is not to be waited for
	for name, want := range map[string]uint64{"b": 2000, "c": 0} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := r.rt.Connection(name).Drain(ctx)
		cancel()
		var left *types.DrainError
		if errors.As(err, &left); left == nil && want > 0 || left != nil && left.Pending+left.Relayed != want {
			t.Errorf("drain %s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	if err := r.rt.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained with %v", err)
	}
	cancel()
	close(release)
	if err := r.rt.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	r.arrived("b", 2001)
	await(t, r.rt, "nothing to wait but for the program", func(s []types.Status) bool { return s[0].Incoming.Pending == 1 })
}

// S6.2: what a target can never take becomes a dead letter of the incoming queue, with
// the reason; what comes behind it goes on, and the others get it.
func TestWhatATargetCannotTake(t *testing.T) {
	r := newRelay(t, "b", "c")
	r.config.MaxMessageSize = 4096
	r.config.Connections[1].Forward[0].RemotePrefix = strings.Repeat("p", types.MaxTopic-len("in/0"))
	r.config.Connections[2].Forward[0].Envelope = config.EnvelopeJSON
	r.start()
	r.publish(1, 3)
	r.brokers["a"].Publish(types.Message{Topic: "in/long", Payload: []byte("4"), QoS: 2})                    // has a topic that is too long for b
	r.brokers["a"].Publish(types.Message{Topic: "in/5", Payload: []byte(strings.Repeat("5", 4000)), QoS: 2}) // is too large in its envelope for c
	r.publish(6, 8)
	want := []string{"1", "2", "3", "5", "6", "7", "8"}
	await(t, r.rt, "all to be somewhere", func(s []types.Status) bool {
		return s[0].Incoming.Accepted == 8 && s[0].Incoming.Pending == 0 && s[1].Outgoing.Sent == 7 && s[2].Outgoing.Sent == 7
	})
	var got []string
	for _, m := range r.brokers["b"].Published() {
		got = append(got, string(m.Payload[:1]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("b got %q, want %q", got, want)
	}
	letters, err := r.rt.Connection("a").Messages(t.Context(), types.IncomingDead, 0, 10)
	if err != nil || len(letters) != 2 || letters[0].Message.Topic != "in/long" || letters[1].Message.Topic != "in/5" ||
		!strings.HasPrefix(letters[0].Cause, "relay/b: ") || !strings.HasPrefix(letters[1].Cause, "relay/c: ") {
		t.Errorf("%+v, %v", letters, err)
	}
}

// A target whose state has no room for a moment is one that is stuck: nothing becomes
// a dead letter for that.
func TestStateOfATargetIsFull(t *testing.T) { synctest.Test(t, testStateOfATargetIsFull) }

func testStateOfATargetIsFull(t *testing.T) {
	r := newRelay(t, "b", "c")
	defer func() { r.close() }()
	fill := func(bytes int) {
		t.Helper()
		q, err := r.store.Open(t.Context(), "b/outgoing")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 7 {
			if _, err := q.Write(t.Context(), persistence.Commit{Marks: []persistence.Mark{{Key: fmt.Sprint("x/", i), Value: make([]byte, bytes)}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fill(1<<20 - 24)
	refused, writes := make(chan struct{}), 0
	r.start()
	r.faults.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Queue == "b/outgoing" && c.Op == faultstore.Write && c.Batch.Messages > 0 {
			if writes++; writes == 4 {
				close(refused)
			}
		}
		return nil
	})
	r.publish(1, 5)
	r.arrived("c", 5)
	<-refused
	await(t, r.rt, "all to wait for b", func(s []types.Status) bool { return s[0].Incoming.Pending == 5 && s[0].Incoming.Dead == 0 })
	r.close()
	fill(0)
	r.start()
	r.arrived("b", 5)
	await(t, r.rt, "nothing to wait", func(s []types.Status) bool { return s[0].Incoming.Pending == 0 && s[0].Incoming.Dead == 0 })
}

// A Reload that adds a route has what is stored from then on relayed; one that takes a
// route away, or the connection, lets go what waits for that alone.
func TestReloadOfRelays(t *testing.T) {
	synctest.Test(t, testReloadOfRelays) // so that nobody waits for a store to be opened again
}

func testReloadOfRelays(t *testing.T) {
	r := newRelay(t, "b", "c")
	defer r.close()
	r.start()
	r.publish(1, 1)
	r.arrived("b", 1)
	r.faults.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Queue == "b/outgoing" && c.Op == faultstore.Write && c.Batch.Messages > 0 {
			return faultstore.DiskFull()
		}
		return nil
	})
	reload := func(change func([]config.Connection) []config.Connection) {
		t.Helper()
		cfg := r.config
		cfg.Connections = change(slices.Clone(cfg.Connections))
		for i := range cfg.Connections {
			cfg.Connections[i].Forward = slices.Clone(cfg.Connections[i].Forward)
		}
		cfg.Connections = named(cfg.Connections)
		if _, err := r.rt.Reload(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	published := uint64(10)
	pending := func(n uint64) {
		t.Helper()
		await(t, r.rt, fmt.Sprint(n, " to wait"), func(s []types.Status) bool {
			return s[0].Incoming.Pending == n && s[0].Incoming.Accepted == published
		})
	}
	consumers := func(want ...string) {
		t.Helper()
		list, err := r.rt.Connection("a").Consumers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range list {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("consumers are %q, want %q", got, want)
		}
	}
	r.publish(2, 10)
	r.arrived("c", 10)
	pending(9)
	reload(func(l []config.Connection) []config.Connection { // b gets only a part
		l[1].Forward = []config.Forward{{Topic: "in/1", Relay: true}}
		return l
	})
	consumers("_local", "b", "c")
	pending(3) // 4, 7, 10
	reload(func(l []config.Connection) []config.Connection { return l[:1] })
	consumers("_local")
	pending(0)
	for _, actor := range r.rt.Running() {
		if strings.HasPrefix(actor, "mqttdb/a/to/") && actor != "mqttdb/a/to/_local" {
			t.Errorf("%s runs", actor)
		}
	}
	r.faults.Heal()
	r.faults.Before(nil)
	r.publish(11, 20)
	published = 20
	pending(0)
	reload(func(l []config.Connection) []config.Connection { return l })
	r.publish(21, 21)
	await(t, r.rt, "the new route to count", func(s []types.Status) bool { return s[2].Outgoing.Sent == 11 })
	if got := r.brokers["c"].Published(); string(got[len(got)-1].Payload) != "21" {
		t.Errorf("c got %s", got[len(got)-1].Payload)
	}
	s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"in/0", "in/1"}})
	r.publish(22, 24)
	ack(t, next(t, s, "22"))
	published = 24
	pending(1)
	s = mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"in/1"}})
	ack(t, next(t, s, "24")) // it was on its way
	pending(0)
	r.publish(25, 28)
	published = 28
	ack(t, next(t, s, "25"))
	s = mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"in/1", "in/9"}})
	ack(t, next(t, s, "28"))
	pending(0)
}

// Clear of an incoming queue: nobody gets what is cleared any more, but what is on its
// way; and what comes then comes.
func TestClearIncoming(t *testing.T) {
	synctest.Test(t, testClearIncoming) // so that nobody waits for a store to be opened again
}

func testClearIncoming(t *testing.T) {
	r := newRelay(t, "b")
	defer r.close()
	r.start()
	r.publish(1, 1)
	r.arrived("b", 1)
	s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"in/#"}, Window: 3})
	r.faults.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Queue == "b/outgoing" && c.Op == faultstore.Write && c.Batch.Messages > 0 {
			return faultstore.BadDisk()
		}
		return nil
	})
	r.publish(2, 1000)
	d := next(t, s, "2")
	await(t, r.rt, "all to wait", func(s []types.Status) bool { return s[0].Incoming.Pending == 999 && s[1].Outgoing.Trouble != "" })
	n, err := r.rt.Clear(t.Context(), "a", types.Selection{Queue: types.Incoming, Filter: "in/+"})
	if err != nil || n != 999 {
		t.Fatalf("cleared %d: %v", n, err)
	}
	ack(t, d)
	r.faults.Before(nil)
	await(t, r.rt, "b to take something", func(s []types.Status) bool { return s[1].Outgoing.Trouble == "" })
	r.publish(1001, 1003)
	ack(t, next(t, s, "1001"))
	await(t, r.rt, "the rest to arrive", func(s []types.Status) bool { return s[0].Incoming.Pending == 2 })
	list := r.brokers["b"].Published()
	if got := string(list[len(list)-1].Payload); got != "1003" && r.brokers["b"].WaitFor(t.Context(), len(list)+1) != nil {
		t.Errorf("b got %s last", got)
	}
	for _, m := range list[1:] {
		if p := string(m.Payload); p != "1001" && p != "1002" && p != "1003" {
			t.Errorf("b got %s, which was cleared", p)
		}
	}
}

// S4.3, S6.2: actors that fail, stores that fail, and a process that dies, again and
// again: each relayed message arrives once and in order, and a named subscription that
// acknowledges each gets all, first in order.
func TestPumpsInChaos(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 8))
				const count = 1500
				r := newRelay(t, "b", "c")
				defer time.Sleep(time.Hour) // actors that failed last are started again, to stop
				defer r.close()
				r.start()
				r.publish(1, 1)
				r.arrived("b", 1)
				o := runtime.SubscribeOptions{Name: "n", Filters: []string{"in/#"}, Window: 20}
				var got []string
				seen := map[string]bool{}
				read := func(ctx context.Context, s *runtime.Subscription) {
					for d := range s.All(ctx) {
						if p := string(d.Message.Payload); !seen[p] {
							seen[p] = true
							got = append(got, p)
						}
						_ = d.Ack() // else it comes again
					}
				}
				s := mustSubscribe(t, r.rt, o)
				for sent := 1; sent < count; {
					ctx, cancel := context.WithCancel(t.Context())
					var wg sync.WaitGroup
					wg.Go(func() { read(ctx, s) })
					for range 8 {
						more := min(count, sent+1+rnd.IntN(60))
						r.publish(sent+1, more)
						sent = more
						switch rnd.IntN(4) {
						case 0:
							victims := []string{"a/to/_local", "a/to/b", "a/to/c", "a/incoming", "a/consumers", "b/outgoing", "a/inbound"}
							_ = r.rt.Kill("mqttdb/" + victims[rnd.IntN(len(victims))])
						case 1:
							r.faults.Inject(faultstore.Fault{Op: faultstore.Write, Err: faultstore.DiskFull()})
						case 2:
							r.faults.Inject(faultstore.Fault{Op: faultstore.Sync, Err: faultstore.BadDisk()})
						}
						time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond) // chaos, not a wait for anything
					}
					if sent < count {
						survives := r.store.Kill()
						cancel()
						wg.Wait()
						r.kill(survives)
						for { // its store may be in trouble
							var err error
							if s, err = r.rt.Connection("a").Subscribe(t.Context(), o); err == nil {
								break
							} else if st := new(types.StoreError); !errors.As(err, &st) && !errors.Is(err, types.ErrInterrupted) {
								t.Fatal(err)
							}
						}
						continue
					}
					r.faults.Heal()
					r.arrived("b", count)
					r.arrived("c", count)
					await(t, r.rt, "all to be done", func(s []types.Status) bool { return s[0].Incoming.Pending == 0 })
					cancel()
					wg.Wait()
				}
				var want []string
				for i := 2; i <= count; i++ {
					want = append(want, fmt.Sprint(i))
				}
				if !slices.Equal(got, want) {
					t.Errorf("the subscription got %d messages, want %d: %q", len(got), len(want), got)
				}
			})
		})
	}
}

// Guarantee 8: what waits in an incoming queue takes no memory of the actors.
func TestMuchWaitsInAnIncomingQueue(t *testing.T) {
	r := newRelay(t, "b")
	r.start()
	s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"in/#"}})
	s.Close()
	before := len(r.rt.Running())
	goroutines := goruntime.NumGoroutine()
	r.publish(1, 5000)
	r.arrived("b", 5000)
	await(t, r.rt, "all to wait for the subscription", func(s []types.Status) bool { return s[0].Incoming.Pending == 5000 })
	if got := len(r.rt.Running()); got != before {
		t.Errorf("%d actors, before there were %d", got, before)
	}
	if got := goruntime.NumGoroutine(); got > goroutines+20 {
		t.Errorf("%d goroutines, before there were %d", got, goroutines)
	}
	s = mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Window: 1000})
	for i := range 5000 {
		if err := next(t, s, fmt.Sprint(i+1)).Ack(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, r.rt, "all to leave", func(s []types.Status) bool { return s[0].Incoming.Pending == 0 })
	debug.FreeOSMemory()
}
