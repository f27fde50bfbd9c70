package runtime_test

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// What could not be subscribed leaves no consumer behind that messages wait for.
func TestARefusedSubscribeLeavesNoConsumer(t *testing.T) {
	r := newRelay(t)
	r.start()
	conn := r.rt.Connection("a")
	if _, err := conn.Subscribe(t.Context(), runtime.SubscribeOptions{Name: "x"}); err == nil {
		t.Fatal("subscribed to nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conn.Subscribe(ctx, runtime.SubscribeOptions{Name: "y", Filters: []string{"in/#"}}); err == nil {
		t.Fatal("subscribed after the end of the context")
	}
	await(t, r.rt, "the consumers to be gone", func([]types.Status) bool {
		list, err := conn.Consumers(t.Context())
		return err == nil && len(list) == 1
	})
}

// Without a name messages are missed rather than held in any number of bytes.
func TestLiveSubscriptionIsBoundedInBytes(t *testing.T) {
	r := newRelay(t)
	r.start()
	s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"in/#"}})
	last := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"in/last"}})
	if err := r.brokers["a"].WaitForFilters(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	const size, n = 1 << 20, 40
	for range n {
		r.brokers["a"].Publish(types.Message{Topic: "in/1", Payload: make([]byte, size), QoS: 1})
	}
	r.brokers["a"].Publish(types.Message{Topic: "in/last", Payload: []byte("last"), QoS: 1})
	next(t, last, "last")
	if got := s.Missed(); got < n-8 {
		t.Errorf("%d of %d MiB were missed: the others are held", got, n)
	}
	for range n - s.Missed() + 1 {
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.brokers["a"].Publish(types.Message{Topic: "in/last", Payload: []byte("after"), QoS: 1})
	next(t, s, "after")
}

// What an operator clears does not come back to the handler that has it and does not
// answer, or asks for it again.
func TestClearedIsNotDeliveredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		defer r.close()
		r.start()
		s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "one", Filters: []string{"in/#"}, Window: 3, AckWait: time.Minute})
		r.publish(1, 3)
		synctest.Wait()
		poison := next(t, s, "1") // in/1
		kept := next(t, s, "2")
		next(t, s, "3") // in/0, and nothing is said of it
		if err := poison.Nak(time.Second); err != nil {
			t.Fatal(err)
		}
		if n, err := r.rt.Connection("a").Clear(t.Context(), types.Selection{Queue: types.Incoming, Filter: "in/1"}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := r.rt.Connection("a").Clear(t.Context(), types.Selection{Queue: types.Incoming, Filter: "in/0"}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		r.publish(4, 5) // for which there is room
		ack(t, next(t, s, "4"))
		ack(t, next(t, s, "5"))
		if err := poison.Ack(); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
		idle(t, s)
		time.Sleep(time.Minute)
		if d := next(t, s, "2"); d.Attempt != 2 {
			t.Errorf("%+v", d)
		}
		ack(t, kept)
		time.Sleep(time.Hour)
		idle(t, s)
		if got := r.rt.Status()[0].Incoming; got.Pending != 0 || got.Cleared != 2 || got.Sent != 3 {
			t.Errorf("%+v", got)
		}
	})
}

// A subscription that comes back after a failure does not take its place from who has
// it by now.
func TestAFailureDoesNotBringBackARival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		defer r.close()
		r.start()
		o := runtime.SubscribeOptions{Name: "one", Filters: []string{"in/#"}}
		first := mustSubscribe(t, r.rt, o)
		r.faults.Inject(faultstore.Fault{Op: faultstore.Open, Times: -1})
		for _, actor := range []string{"mqttdb/a/incoming", "mqttdb/a/consumers"} {
			if err := r.rt.Kill(actor); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		r.faults.Heal() // and the first tries again once a second
		var second *runtime.Subscription
		for second == nil {
			second, _ = r.rt.Connection("a").Subscribe(t.Context(), o)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		r.publish(1, 1)
		ack(t, next(t, second, "1"))
		if _, err := first.Next(t.Context()); !errors.Is(err, types.ErrClosed) {
			t.Errorf("the first got %v", err)
		}
	})
}

// Programs come and go, links and settings change, actors fail: in the end the broker
// has been asked for what is wanted and no more, and nobody is left.
func TestSubscribersComeAndGo(t *testing.T) {
	r := newRelay(t)
	r.start()
	before := goruntime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 40 {
				own := fmt.Sprint("own/", i, "/", j%3)
				o := runtime.SubscribeOptions{Filters: []string{own, "shared/#", "in/1", own}}
				if j%2 == 0 {
					o.Name, o.QoS = fmt.Sprint("n", i/2), config.QoS2
				}
				s, err := r.rt.Connection("a").Subscribe(t.Context(), o)
				if errors.Is(err, types.ErrClosed) || errors.Is(err, types.ErrInterrupted) {
					continue // a rival, or the failure of an actor
				} else if err != nil {
					t.Error(err)
					return
				}
				if j%3 == 0 {
					s.Close()
				} else if err := s.Unsubscribe(t.Context()); err != nil && !errors.Is(err, types.ErrInterrupted) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 15 {
			r.brokers["a"].Cut()
			cfg := r.config
			cfg.Connections = named(append([]config.Connection(nil), cfg.Connections...))
			cfg.Connections[0].Subscribe = []config.Subscribe{{Topic: "in/#", QoS: config.QoS2}}
			if i%2 == 0 {
				cfg.Connections[0].Subscribe = append(cfg.Connections[0].Subscribe, config.Subscribe{Topic: "shared/#", QoS: config.QoS1})
			}
			if _, err := r.rt.Reload(t.Context(), cfg); err != nil {
				t.Error(err)
			}
			if i%5 == 4 {
				if err := r.rt.Kill("mqttdb/a/consumers"); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	for i := range 4 {
		if _, err := r.rt.Connection("a").RemoveConsumer(t.Context(), fmt.Sprint("n", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		for j := range 3 {
			gone(t, r, fmt.Sprint("own/", i, "/", j))
		}
	}
	await(t, r.rt, "goroutines to end", func([]types.Status) bool { return goruntime.NumGoroutine() <= before+10 })
}

// A handler that never answers gets all that it has again, in order, when it is due,
// and holds no more than its window of what waits; what it puts off comes in turn.
func TestManyAreDueTogether(t *testing.T) {
	const window, n = 5000, 12_000
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		defer r.close()
		r.start()
		s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "one", Filters: []string{"in/#"}, Window: window, AckWait: time.Minute})
		r.publish(1, n)
		synctest.Wait()
		for attempt := 1; attempt <= 3; attempt++ {
			for i := range window {
				if d := next(t, s, fmt.Sprint(i+1)); d.Attempt != attempt {
					t.Fatalf("attempt %d instead of %d", d.Attempt, attempt)
				}
			}
			idle(t, s)
			if got := r.rt.Status()[0].Incoming; got.InFlight != window || got.Pending != n {
				t.Errorf("%+v", got)
			}
			time.Sleep(time.Minute)
		}
		var list []*runtime.Delivery
		for i := range window {
			list = append(list, next(t, s, fmt.Sprint(i+1)))
		}
		for i, d := range list {
			if i >= 3 {
				ack(t, d)
			} else if err := d.Nak(time.Duration(3-i) * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for i := range window - 3 {
			ack(t, next(t, s, fmt.Sprint(window+i+1)))
		}
		time.Sleep(time.Minute)
		for _, p := range []string{"3", "2", "1"} {
			ack(t, next(t, s, p))
		}
	})
}
