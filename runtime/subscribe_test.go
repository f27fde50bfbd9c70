package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

func mustSubscribe(t testing.TB, rt *runtime.Runtime, o runtime.SubscribeOptions) *runtime.Subscription {
	t.Helper()
	s, err := rt.Connection("a").Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next waits for a message, which is to have that payload.
func next(t testing.TB, s *runtime.Subscription, payload string) *runtime.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("instead of %q: %v", payload, err)
	}
	if string(d.Message.Payload) != payload {
		t.Fatalf("got %q, want %q", d.Message.Payload, payload)
	}
	return d
}

// idle says that nothing is to come.
func idle(t testing.TB, s *runtime.Subscription) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := s.Next(ctx); err == nil {
		t.Fatalf("got %q", d.Message.Payload)
	}
}

func ack(t testing.TB, d *runtime.Delivery) {
	t.Helper()
	if err := d.AckSync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// S4.3, S4.4: what belongs to a named subscription waits for it, also while the
// program does not run; what it has acknowledged does not come again.
func TestNamedSubscription(t *testing.T) {
	r := newRelay(t)
	r.start()
	o := runtime.SubscribeOptions{Name: "alarms", Filters: []string{"in/#"}, Window: 4, QoS: config.QoS2}
	s := mustSubscribe(t, r.rt, o)
	r.publish(1, 20)
	for i := range 6 {
		d := next(t, s, fmt.Sprint(i+1))
		if d.Redelivered || d.Attempt != 1 || d.Message.QoS != 2 || d.Seq != types.Seq(i+1) {
			t.Errorf("%+v", d)
		}
		ack(t, d)
		ack(t, d) // does nothing
	}
	seventh := next(t, s, "7")
	r.kill(r.store.Kill())
	for range s.All(t.Context()) { // until the process before has noticed
	}
	if err := seventh.Ack(); err == nil {
		t.Error("a message of a process before was acknowledged")
	}
	s = mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "alarms", Window: 4})
	for i := 7; i <= 10; i++ {
		d := next(t, s, fmt.Sprint(i))
		if !d.Redelivered {
			t.Errorf("%d may have come before", i)
		}
		ack(t, d)
	}
	next(t, s, "11")
	s.Close()
	if _, err := s.Next(t.Context()); !errors.Is(err, types.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	s = mustSubscribe(t, r.rt, o)
	if d := next(t, s, "11"); !d.Redelivered {
		t.Error("it was delivered before")
	}
	for i := 12; i <= 14; i++ {
		next(t, s, fmt.Sprint(i))
	}
	await(t, r.rt, "all to be stored", func(list []types.Status) bool { return list[0].Incoming.Accepted == 20 })
	list, err := r.rt.Connection("a").Consumers(t.Context())
	if err != nil || len(list) != 2 || list[1].Name != "alarms" || list[1].Kind != types.NamedConsumer || !list[1].Joined || list[1].Open != 4 || list[1].Behind != 6 {
		t.Errorf("%+v, %v", list, err)
	}
	rival := mustSubscribe(t, r.rt, o)
	if _, err := s.Next(t.Context()); !errors.Is(err, types.ErrClosed) {
		t.Errorf("after another one has it: %v", err)
	}
	next(t, rival, "11")
	if err := rival.Unsubscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, r.rt, "all to leave", func(list []types.Status) bool { return list[0].Incoming.Pending == 0 })
	if had, err := r.rt.Connection("a").RemoveConsumer(t.Context(), "alarms"); had || err != nil {
		t.Error(had, err)
	}
}

// S4.3: what was answered with Nak, or not at all, is delivered again; what can never
// be taken is a dead letter, once all others have it, and can be delivered again.
func TestNakAndTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		defer r.close()
		r.start()
		o := runtime.SubscribeOptions{Name: "one", Filters: []string{"in/#"}, AckWait: time.Minute}
		s := mustSubscribe(t, r.rt, o)
		o.Name, o.AckWait = "other", -1
		mustSubscribe(t, r.rt, o)
		r.publish(1, 4)
		begin := time.Now()
		at := func(d *runtime.Delivery, after time.Duration, attempt int) {
			t.Helper()
			if got := time.Since(begin); got != after || d.Attempt != attempt {
				t.Errorf("%s came after %v, attempt %d; want %v, %d", d.Message.Payload, got, d.Attempt, after, attempt)
			}
		}
		d := next(t, s, "1")
		if err := d.Nak(0); err != nil {
			t.Fatal(err)
		}
		d = next(t, s, "1")
		at(d, 0, 2)
		if err := d.Nak(30 * time.Second); err != nil {
			t.Fatal(err)
		}
		at(next(t, s, "2"), 0, 1) // and is not answered
		for _, payload := range []string{"3", "4"} {
			ack(t, next(t, s, payload))
		}
		d, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at(d, 30*time.Second, 3)
		if err := d.Term(t.Context(), "no such valve"); err != nil {
			t.Fatal(err)
		}
		d, err = s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at(d, time.Minute, 2)
		ack(t, d)
		status := func(pending, dead uint64) {
			t.Helper()
			synctest.Wait()
			if got := r.rt.Status()[0].Incoming; got.Pending != pending || got.Dead != dead || got.DeadPending != dead {
				t.Errorf("pending %d, dead %d of which %d; want %d, %d", got.Pending, got.Dead, got.DeadPending, pending, dead)
			}
		}
		status(4, 0)
		r.kill(r.store.Kill()) // it is known after a crash
		o.AckWait = -1
		other := mustSubscribe(t, r.rt, o)
		for i := range 4 {
			ack(t, next(t, other, fmt.Sprint(i+1)))
		}
		status(0, 1)
		letters, err := r.rt.Connection("a").Messages(t.Context(), types.IncomingDead, 0, 10)
		if err != nil || len(letters) != 1 || letters[0].Cause != "one: no such valve" || string(letters[0].Message.Payload) != "1" {
			t.Fatalf("%+v, %v", letters, err)
		}
		o.Name = "one"
		s = mustSubscribe(t, r.rt, o)
		idle(t, s)
		if _, err := r.rt.Connection("a").Requeue(t.Context(), types.IncomingDead, letters[0].Seq); err != nil {
			t.Fatal(err)
		}
		ack(t, next(t, s, "1"))
		ack(t, next(t, other, "1"))
		synctest.Wait()
		if got := r.rt.Status()[0].Incoming; got.Pending != 0 || got.DeadPending != 0 {
			t.Errorf("%+v", got)
		}
		if s := r.rt.Status()[0].Incoming; s.Accepted != s.Sent+s.Dropped+s.Expired+s.Cleared+s.Dead+s.Quarantined+s.Pending {
			t.Errorf("the books do not balance: %+v", s)
		}
	})
}

// S4.3: session_expiry ends a named subscription that stays away, and what belongs to
// nobody else leaves.
func TestNamedSubscriptionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		defer r.close()
		r.start()
		s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "alarms", Filters: []string{"in/#"}})
		r.publish(1, 5)
		next(t, s, "1")
		s.Close()
		pending := func(want uint64) {
			t.Helper()
			synctest.Wait()
			if got := r.rt.Status()[0].Incoming.Pending; got != want {
				t.Fatalf("%d messages are pending, want %d", got, want)
			}
		}
		time.Sleep(100 * time.Hour)
		pending(5)
		r.kill(r.store.Kill())
		time.Sleep(68*time.Hour - time.Minute)
		pending(5)
		time.Sleep(2 * time.Minute)
		pending(0)
	})
}

// Without a name a subscription gets what comes while it is there, stored or not, and
// misses what it has no room for.
func TestLiveSubscription(t *testing.T) {
	for _, stored := range []config.Switch{config.Off, config.On} {
		t.Run(fmt.Sprint("stored: ", stored), func(t *testing.T) {
			r := newRelay(t)
			r.config.Connections[0].Persist.Incoming = stored
			r.start()
			s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"in/1", "in/2"}, Window: 6})
			last := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"in/2"}})
			r.publish(1, 20)
			for _, p := range []string{"2", "5", "8", "11", "14", "17", "20"} {
				if d := next(t, last, p); d.Ack() != nil || d.Nak(0) == nil || d.Seq != 0 || d.Message.QoS != 1 {
					t.Errorf("%+v", d)
				}
			}
			for _, p := range []string{"1", "2", "4", "5", "7", "8"} {
				next(t, s, p)
			}
			idle(t, s)
			if got := s.Missed(); got != 8 {
				t.Errorf("%d missed, want 8", got)
			}
		})
	}
}

func TestSubscribeRefuses(t *testing.T) {
	r := newRelay(t)
	r.config.Connections = append(r.config.Connections, config.Connection{Name: "plain"},
		config.Connection{Name: "echo", Forward: []config.Forward{{Topic: "out/#"}}})
	r.brokers["plain"], r.brokers["echo"] = r.brokers["a"], r.brokers["a"]
	r.start()
	long := string(slices.Repeat([]byte("x"), 200))
	for _, c := range []struct {
		name, conn string
		o          runtime.SubscribeOptions
		want       error
	}{
		{"no filters", "a", runtime.SubscribeOptions{}, nil},
		{"no filters of that name", "a", runtime.SubscribeOptions{Name: "x"}, nil},
		{"a bad filter", "a", runtime.SubscribeOptions{Filters: []string{"a/#/b"}}, types.ErrInvalidTopic},
		{"a long name", "a", runtime.SubscribeOptions{Name: long, Filters: []string{"a"}}, nil},
		{"a name with a slash", "a", runtime.SubscribeOptions{Name: "a/b", Filters: []string{"a"}}, nil},
		{"a window", "a", runtime.SubscribeOptions{Window: 1 << 20, Filters: []string{"a"}}, nil},
		{"not stored", "plain", runtime.SubscribeOptions{Name: "x", Filters: []string{"a"}}, nil},
		{"the broker would send back what is forwarded", "echo", runtime.SubscribeOptions{Filters: []string{"out/1"}}, nil},
		{"no such connection", "nobody", runtime.SubscribeOptions{Filters: []string{"a"}}, types.ErrUnknownConnection},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.rt.Connection(c.conn).Subscribe(t.Context(), c.o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	r.close()
	for _, name := range []string{"", "x"} {
		if _, err := r.rt.Connection("a").Subscribe(t.Context(), runtime.SubscribeOptions{Name: name, Filters: []string{"a"}}); !errors.Is(err, types.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// What a program subscribes to is asked of the broker, and given back when nobody
// wants it any more; what a named subscription wants is asked for after a restart, too.
func TestAskedOfTheBroker(t *testing.T) {
	r := newRelay(t)
	r.start()
	filters := func(want int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := r.brokers["a"].WaitForFilters(ctx, "a", want); err != nil {
			t.Fatalf("%d filters: %v", want, err)
		}
	}
	publish := func(topic, payload string) {
		r.brokers["a"].Publish(types.Message{Topic: topic, Payload: []byte(payload), QoS: 2})
	}
	filters(1)
	mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"in/2", "in/+/x"}}) // is subscribed to already
	live := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"extra/#"}})
	filters(2)
	named := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"more/#", "extra/1", "$x/y"}, QoS: config.QoS2})
	filters(5)
	publish("extra/2", "live")
	publish("more/1", "named")
	next(t, live, "live")
	ack(t, next(t, named, "named"))
	publish("$x/y", "dollar")
	ack(t, next(t, named, "dollar"))
	live.Close()
	gone(t, r, "extra/#")
	r.kill(r.store.Kill())
	publish("more/1", "after")
	named = mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n"})
	ack(t, next(t, named, "after"))
	if s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"more/#"}}); s == nil {
		t.Fatal("not subscribed")
	}
	gone(t, r, "extra/1")
	if had, err := r.rt.Connection("a").RemoveConsumer(t.Context(), "n"); !had || err != nil {
		t.Error(had, err)
	}
	gone(t, r, "more/#")
}

// gone waits until we have not subscribed to filter any more.
func gone(t *testing.T, r *relay, filter string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.brokers["a"].WaitWithout(ctx, "a", filter); err != nil {
		t.Fatalf("%s is subscribed to: %v", filter, err)
	}
}
