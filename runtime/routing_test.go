package runtime_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Messages of one client that come together are stored in their order, each in
// all its queues, and one that can never be taken does not hold up the others.
func TestRouteAll(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t,
		config.Connection{Name: "all"},
		config.Connection{Name: "some", Forward: []config.Forward{{Topic: "a/#", RemotePrefix: "site/"}}},
	)
	type answer struct {
		topic string
		err   error
	}
	answers := make(chan answer, 10)
	var passages []runtime.Passage
	long := "a/" + string(slices.Repeat([]byte("x"), types.MaxTopic-2))
	topics := []string{"a/1", "b/1", "$SYS/x", long, "a/2", "b/2"}
	for _, topic := range topics {
		passages = append(passages, runtime.Passage{Message: message(topic, topic), Done: func(err error) { answers <- answer{topic, err} }})
	}
	if n := rt.RouteAll(passages, func() { t.Error("room was told of") }); n != len(passages) {
		t.Fatalf("took %d of %d", n, len(passages))
	}
	for range topics {
		if a := <-answers; (a.err != nil) != (a.topic == long) || a.err != nil && !errors.Is(a.err, types.ErrInvalidTopic) {
			t.Errorf("%.10s: %v", a.topic, a.err)
		}
	}
	for name, want := range map[string]uint64{"all": 4, "some": 2} {
		if s := rt.Connection(name).Status().Outgoing; s.Accepted != want {
			t.Errorf("%s has %d messages, want %d", name, s.Accepted, want)
		}
	}
	h.broker.Up()
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all, some []string
	for _, m := range h.broker.Published() {
		if m.Topic == "site/"+string(m.Payload) {
			some = append(some, string(m.Payload))
		} else {
			all = append(all, string(m.Payload))
		}
	}
	if want := []string{"a/1", "b/1", "a/2", "b/2"}; !slices.Equal(all, want) {
		t.Errorf("all got %q, want %q", all, want)
	}
	if want := []string{"a/1", "a/2"}; !slices.Equal(some, want) {
		t.Errorf("some got %q, want %q", some, want)
	}
}

// S2.1: of a batch as much is taken as all queues have room for, and what waits
// holds nothing.
func TestRouteAllTakesAPart(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	stuck := &stuckStore{Store: h.store, name: "b/outgoing", release: make(chan struct{})}
	h.options = func(o *runtime.Options) { o.Durable = stuck }
	rt := h.open(t, config.Connection{Name: "a"}, config.Connection{Name: "b"})
	const count = 64
	var committed atomic.Int64
	answered := make(chan error, count)
	var passages []runtime.Passage
	for i := range count {
		passages = append(passages, runtime.Passage{
			Message: types.Message{Topic: fmt.Sprint("t/", i), Payload: make([]byte, 1<<20), QoS: 1},
			Done:    func(err error) { committed.Add(1); answered <- err },
		})
	}
	room := make(chan struct{}, 1)
	told := func() { room <- struct{}{} }
	n := rt.RouteAll(passages, told)
	if n == 0 || n == count {
		t.Fatalf("took %d of %d although a queue is stuck", n, count)
	}
	if committed.Load() > 0 {
		t.Error("answered before the last of the queues has it")
	}
	close(stuck.release)
	for left := passages[n:]; len(left) > 0; {
		<-room
		left = left[rt.RouteAll(left, told):]
	}
	for range count {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		if got := rt.Connection(name).Status().Outgoing.Accepted; got != count {
			t.Errorf("%s took %d of %d", name, got, count)
		}
	}
}

// An envelope tells when a message was accepted, its number and whether it
// waited; and what would be too large in it is refused.
func TestEnvelope(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "c", Forward: []config.Forward{
		{Topic: "plain"}, {Topic: "#", RemotePrefix: "site/", Envelope: config.EnvelopeJSON},
	}})
	answer := make(chan error, 1)
	route := func(topic, payload string) error {
		t.Helper()
		if !rt.Route(message(topic, payload), types.Origin{}, func(err error) { answer <- err }, func() {}) {
			t.Fatal("no room")
		}
		return <-answer
	}
	for _, m := range [][2]string{{"a", "waited"}, {"plain", "plain"}} {
		if err := route(m[0], m[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := route("a", strings.Repeat("\x00", config.DefaultMaxMessageSize/6)); !errors.Is(err, types.ErrTooLarge) {
		t.Errorf("too large in its envelope: %v", err)
	}
	if err := route("plain", strings.Repeat("\x00", config.DefaultMaxMessageSize/6)); err != nil {
		t.Errorf("without an envelope: %v", err)
	}
	h.broker.Up()
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := route("a", "\xff"); err != nil {
		t.Fatal(err)
	}
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range h.broker.Published() {
		if len(m.Payload) < 200 {
			got = append(got, m.Topic+" "+regexp.MustCompile(`"ts":"20[-0-9]+T[:0-9]+\.\d\d\dZ"`).ReplaceAllString(string(m.Payload), "TS"))
		}
	}
	want := []string{
		`site/a {TS,"seq":1,"replayed":true,"payload":"waited"}`,
		"plain plain",
		`site/a {TS,"seq":4,"replayed":false,"payload_base64":"/w=="}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
