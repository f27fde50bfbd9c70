package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// balance says whether the books of a queue balance (S1).
func balance(t testing.TB, name string, s types.QueueStatus) {
	t.Helper()
	if sum := s.Sent + s.Dropped + s.Expired + s.Cleared + s.Dead + s.Quarantined + s.Pending; s.Accepted != sum {
		t.Errorf("%s: %d accepted, %d accounted for: %+v", name, s.Accepted, sum, s)
	}
}

// With reject whoever publishes waits for room, or is told that there is none; what
// was refused is counted, and a reload changes the limit.
func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.broker.Down()
		conn := config.Connection{Name: "a", Limits: config.Limits{Limit: config.Limit{MaxMessages: 3}}}
		rt := h.open(t, conn)
		a := rt.Connection("a")
		for i := range 3 {
			if _, err := a.Publish(t.Context(), message("t", fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.PublishAsync(t.Context(), message("t", "async")); !errors.Is(err, types.ErrQueueFull) || !strings.Contains(err.Error(), "max_messages 3") {
			t.Errorf("PublishAsync: %v", err)
		}
		if _, err := rt.TryForward(t.Context(), message("t", "try")); !errors.Is(err, types.ErrQueueFull) {
			t.Errorf("TryForward: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := a.Publish(ctx, message("t", "late")); !errors.Is(err, types.ErrQueueFull) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("Publish: %v after %v", err, time.Since(begun))
		}
		if _, err := rt.Forward(ctx, message("t", "late")); !errors.Is(err, types.ErrQueueFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Forward: %v", err)
		}
		s := a.Status().Outgoing
		if s.Accepted != 3 || s.Refused != 4 || s.RefusedBy["full"] != 4 || !strings.Contains(s.Full, "max_messages 3") {
			t.Errorf("status: %+v", s)
		}
		conn.Limits.MaxMessages = 4
		if _, err := rt.Reload(t.Context(), config.Config{Connections: named([]config.Connection{conn})}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Publish(t.Context(), message("t", "3")); err != nil {
			t.Error(err)
		}
		waiting := make(chan error)
		go func() {
			_, err := a.Publish(t.Context(), message("t", "4"))
			waiting <- err
		}()
		synctest.Wait()
		h.broker.Up()
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		if err := rt.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := h.payloads(); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
			t.Errorf("arrived: %v", got)
		}
	})
}

// S2.1: a local client whose message belongs to several queues waits for the one that
// is full, and is told of room; until then none of them has it.
func TestLocalPublishersWaitForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.broker.Down()
		rt := h.open(t, config.Connection{Name: "wide"}, config.Connection{Name: "narrow", Limits: config.Limits{Limit: config.Limit{MaxMessages: 2}}})
		room := make(chan struct{}, 1)
		stored := 0
		route := func(payload string) bool {
			return rt.Route(message("t", payload), types.Origin{}, func(err error) {
				if err != nil {
					t.Error(err)
				}
				stored++
			}, func() { room <- struct{}{} })
		}
		for i := range 5 {
			for !route(fmt.Sprint(i)) {
				synctest.Wait()
				if stored != i || rt.Connection("wide").Status().Outgoing.Accepted != uint64(i) {
					t.Errorf("%d: %d are acknowledged, %+v", i, stored, rt.Connection("wide").Status().Outgoing)
				}
				if i == 2 {
					h.broker.Up()
				}
				<-room
			}
			synctest.Wait()
		}
		if err := rt.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if stored != 5 || len(h.broker.Published()) != 10 {
			t.Errorf("%d are acknowledged, %d arrived", stored, len(h.broker.Published()))
		}
	})
}

// drop_newest takes a message, and drops it: whoever waits for its delivery learns that.
func TestDroppedIsNotDelivered(t *testing.T) {
	for _, overflow := range []config.Overflow{config.DropOldest, config.DropNewest} {
		t.Run(overflow.String(), func(t *testing.T) {
			h := newHouse()
			h.broker.Down()
			rt := h.open(t, config.Connection{Name: "a", Limits: config.Limits{Limit: config.Limit{MaxMessages: 2, Overflow: overflow}}})
			var list []*runtime.Publication
			for i := range 4 {
				p, err := rt.Connection("a").PublishAsync(t.Context(), message("t", fmt.Sprint(i)))
				if err != nil {
					t.Fatal(err)
				}
				if seq, err := p.Stored(t.Context()); err != nil || seq != types.Seq(i+1) {
					t.Fatal(seq, err)
				}
				list = append(list, p)
			}
			gone := list[:2]
			if overflow == config.DropNewest {
				gone = list[2:]
			}
			for _, p := range gone {
				if err := p.Delivered(t.Context()); !errors.Is(err, types.ErrNotDelivered) {
					t.Errorf("Delivered: %v", err)
				}
			}
			h.broker.Up()
			if err := rt.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := rt.Connection("a").Status().Outgoing
			balance(t, "outgoing", s)
			if s.Sent != 2 || s.DroppedBy[overflow.String()] != 2 || s.Refused != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// S8.1: while an incoming queue is full nothing more is taken from the broker, nor
// acknowledged to it; when there is room all comes, each message once.
func TestIncomingFull(t *testing.T) {
	r := newRelay(t)
	r.config.Connections[0].Limits.Incoming.MaxMessages = 5
	r.start()
	s := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "slow", Filters: []string{"in/#"}, Window: 2, QoS: config.QoS2})
	r.publish(1, 60)
	await(t, r.rt, "a full queue", func(l []types.Status) bool { return l[0].Incoming.Full != "" })
	for i := 1; i <= 60; i++ {
		if got := r.rt.Status()[0].Incoming; got.Pending > 5 {
			t.Fatalf("%d messages are stored: %+v", got.Pending, got)
		}
		if i == 30 {
			r.brokers["a"].Cut() // what was not acknowledged comes again
		}
		ack(t, next(t, s, fmt.Sprint(i)))
	}
	await(t, r.rt, "all to leave", func(l []types.Status) bool { return l[0].Incoming.Sent == 60 })
	idle(t, s)
	balance(t, "incoming", r.rt.Status()[0].Incoming)
}

// With drop_oldest an incoming queue takes everything; a consumer that was away gets
// what is left, in order, and its cursor is right afterwards.
func TestIncomingDropsOldest(t *testing.T) {
	r := newRelay(t)
	r.config.Connections[0].Limits.Incoming = config.Limit{MaxMessages: 7, Overflow: config.DropOldest}
	r.start()
	o := runtime.SubscribeOptions{Name: "away", Filters: []string{"in/#"}, Window: 3, QoS: config.QoS2}
	s := mustSubscribe(t, r.rt, o)
	r.publish(1, 2)
	ack(t, next(t, s, "1"))
	open := next(t, s, "2")
	s.Close()
	r.publish(3, 50)
	await(t, r.rt, "all to be taken", func(l []types.Status) bool { return l[0].Incoming.Accepted == 50 })
	if err := open.Ack(); err == nil {
		t.Error("it was acknowledged after its subscription was closed")
	}
	r.kill(r.store.Kill())
	s = mustSubscribe(t, r.rt, o)
	r.publish(51, 60)
	var got []int
	for n := 0; n < 60; {
		d, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscan(string(d.Message.Payload), &n)
		got = append(got, n)
		ack(t, d)
	}
	if first, last := got[0], got[max(0, len(got)-7):]; first < 44 || !slices.IsSorted(got) || last[0] != 54 {
		t.Errorf("came: %v", got)
	}
	idle(t, s)
	await(t, r.rt, "all to leave", func(l []types.Status) bool { return l[0].Incoming.Pending == 0 && l[0].Incoming.Accepted == 60 })
	status := r.rt.Status()[0].Incoming
	balance(t, "incoming", status)
	if status.DroppedBy["drop_oldest"] < 43-7 || status.DroppedBy["drop_oldest"] != status.Dropped {
		t.Errorf("%+v", status)
	}
}

// The limits of _local bound what waits for sessions, not what is retained.
func TestLocalLimits(t *testing.T) {
	cfg := config.Default()
	cfg.Local.Limits = config.Limit{MaxMessages: 3, Overflow: config.DropOldest}
	store := memory.New(memory.Options{})
	rt, err := runtime.Open(t.Context(), runtime.Options{Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}), Local: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := nowhere{}.Open(t.Context(), rt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(t.Context(), []actors.Subscription{{Filter: "#", QoS: 1}}); err != nil {
		t.Fatal(err)
	}
	s.Leave(0, nil, nil)
	publish := func(m types.Message) {
		t.Helper()
		done := make(chan error, 1)
		if !rt.Route(m, types.Origin{}, func(err error) { done <- err }, func() {}) {
			t.Fatal("there is no room")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		m := message(fmt.Sprint("t/", i), "x")
		m.Retain = true
		publish(m)
	}
	got := rt.Status()[0].Outgoing
	balance(t, "_local", got)
	if got.Pending != 3 || got.DroppedBy["drop_oldest"] != 7 {
		t.Errorf("%+v", got)
	}
	cfg.Local.Limits = config.Limit{MaxMessages: 3}
	if _, err := rt.Reload(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	await(t, rt, "the new limits", func(l []types.Status) bool { return l[0].Outgoing.Full != "" })
	if _, err := rt.TryForward(t.Context(), message("t", "x")); !errors.Is(err, types.ErrQueueFull) {
		t.Errorf("TryForward: %v", err)
	}
	closeRuntime(t, rt)
	q, err := store.Open(t.Context(), "_local/retained")
	if err != nil {
		t.Fatal(err)
	}
	if n := q.State().Pending(); n != 10 {
		t.Errorf("%d messages are retained", n)
	}
}
