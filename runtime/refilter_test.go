package runtime_test

import (
	"errors"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// A subscription's filters change while messages are unanswered, each has its own QoS,
// and those that are there after a restart are the latest.
func TestRefilter(t *testing.T) {
	for _, c := range []struct {
		name  string
		named string
		least types.QoS
	}{{"named", "n", 1}, {"live", "", 0}} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse()
			rt := h.open(t, config.Connection{Name: "a", ClientID: "a", Persist: config.Persist{Incoming: config.On}, Forward: []config.Forward{}})
			conn := rt.Connection("a")
			s, err := conn.Subscribe(t.Context(), runtime.SubscribeOptions{
				Name: c.named, Filters: []string{"in/1", "in/2"}, QoSOf: map[string]config.QoS{"in/1": config.QoS0, "in/2": config.QoS2},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := h.broker.WaitForFilters(t.Context(), "a", 2); err != nil {
				t.Fatal(err)
			}
			next := func(topic string, qos types.QoS) *runtime.Delivery {
				t.Helper()
				h.broker.Publish(types.Message{Topic: topic, QoS: 2})
				d, err := s.Next(t.Context())
				if err != nil || d.Message.Topic != topic || d.Message.QoS != qos {
					t.Fatalf("got %+v, %v; want %s at %d", d, err, topic, qos)
				}
				return d
			}
			open := []*runtime.Delivery{next("in/1", c.least), next("in/2", 2)}
			if err := s.Refilter(t.Context(), []string{"in/2", "in/3"}, map[string]config.QoS{"in/2": config.QoS1}); err != nil {
				t.Fatal(err)
			}
			if err := h.broker.WaitWithout(t.Context(), "a", "in/1"); err != nil {
				t.Fatal(err)
			}
			h.broker.Publish(types.Message{Topic: "in/1", QoS: 2})
			open = append(open, next("in/2", 1), next("in/3", 1))
			if err := s.Ack(open); err != nil {
				t.Fatal(err)
			}
			if err := s.Refilter(t.Context(), []string{"a/#/b"}, nil); !errors.Is(err, types.ErrInvalidTopic) {
				t.Errorf("a filter that is none: %v", err)
			}
			if err := s.Refilter(t.Context(), nil, nil); err != nil || len(s.Filters()) != 0 {
				t.Errorf("no filters: %v, %v", s.Filters(), err)
			}
			if err := h.broker.WaitWithout(t.Context(), "a", "in/3"); err != nil {
				t.Fatal(err)
			}
			if err := s.Refilter(t.Context(), []string{"in/4"}, nil); err != nil {
				t.Fatal(err)
			}
			if err := h.broker.WaitForFilters(t.Context(), "a", 1); err != nil {
				t.Fatal(err)
			}
			next("in/4", 1)
			if store := s.Store(); (len(store) == 32) != (c.named != "") {
				t.Errorf("its queue is %q", store)
			}
			s.Close()
			if err := s.Refilter(t.Context(), []string{"in/5"}, nil); c.named != "" && !errors.Is(err, types.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

// A connection that is to be paused does not dial before Resume.
func TestPausedFromTheStart(t *testing.T) {
	h := newHouse()
	h.options = func(o *runtime.Options) { o.Paused = func(name string) bool { return name == "a" } }
	rt := h.open(t, config.Connection{Name: "a", ClientID: "a"}, config.Connection{Name: "b", ClientID: "b"})
	if err := h.broker.WaitForClient(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	waitState(t, rt, "a", types.Paused)
	if err := rt.Connection("a").Resume(); err != nil {
		t.Fatal(err)
	}
	waitState(t, rt, "a", types.Online)
}

func waitState(t *testing.T, rt *runtime.Runtime, name string, want types.State) {
	t.Helper()
	for list := range rt.Watch(t.Context()) {
		for _, s := range list {
			if s.Name == name && s.State == want {
				return
			}
		}
	}
	t.Fatalf("%s did not become %s", name, want)
}

// An orphan can be cleared, and nobody else.
func TestClearOrphan(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	list := []config.Connection{{Name: "a", ClientID: "a"}, {Name: "b", ClientID: "b"}}
	rt := h.open(t, list...)
	for _, name := range []string{"a", "b"} {
		if _, err := rt.Connection(name).PublishBatch(t.Context(), types.Message{Topic: "t", QoS: 1}, types.Message{Topic: "t", QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rt.Reload(t.Context(), config.Config{Connections: named(list[1:])}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "nobody"} {
		if _, err := rt.ClearOrphan(t.Context(), name); !errors.Is(err, types.ErrUnknownConnection) {
			t.Errorf("%s is no orphan: %v", name, err)
		}
	}
	if n, err := rt.ClearOrphan(t.Context(), "a"); n != 2 || err != nil {
		t.Errorf("cleared %d, %v", n, err)
	}
	for _, s := range rt.Status() {
		if s.Orphan {
			t.Errorf("there is still an orphan: %+v", s)
		}
	}
	if _, err := rt.Reload(t.Context(), config.Config{Connections: named(list)}); err != nil {
		t.Fatal(err)
	}
	s := rt.Connection("a").Status().Outgoing
	if s.Pending != 0 || s.Cleared != 2 || s.Accepted != 2 || rt.Connection("b").Status().Outgoing.Pending != 2 {
		t.Errorf("the books of a: %+v", s)
	}
}

// What a broker sends waits in memory for a named subscription, where that is asked
// for: nothing is missed, and it is bounded.
func TestBuffered(t *testing.T) {
	h := newHouse()
	h.options = func(o *runtime.Options) { o.Buffered = func(name string) bool { return name == "a" } }
	rt := h.open(t, config.Connection{Name: "a", ClientID: "a", Forward: []config.Forward{}}, config.Connection{Name: "b", ClientID: "b"})
	o := runtime.SubscribeOptions{Name: "n", Filters: []string{"in/#"}, Window: 1}
	if _, err := rt.Connection("b").Subscribe(t.Context(), o); err == nil {
		t.Error("a named subscription where nothing is kept")
	}
	s, err := rt.Connection("a").Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.broker.WaitForFilters(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	const count = 3000
	for range count {
		h.broker.Publish(types.Message{Topic: "in/x", QoS: 1})
	}
	s.Close()
	if s, err = rt.Connection("a").Subscribe(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		d, err := s.Next(t.Context())
		if err != nil || d.Seq != types.Seq(i+1) {
			t.Fatalf("message %d: %+v, %v", i+1, d, err)
		}
		if err := d.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	status := rt.Connection("a").Status()
	if l := status.Incoming.Limits; l == nil || l.MaxBytes != 64<<20 {
		t.Errorf("its limits are %+v", l)
	}
	if names, err := h.store.Names(t.Context()); err != nil || len(names) != 2 {
		t.Errorf("stored are %v, %v; the outgoing queues should be", names, err)
	}
}
