package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// house is a runtime on memory stores, with a broker in memory.
type house struct {
	store   *memory.Store
	broker  *loopback.Broker
	options func(*runtime.Options)
}

func newHouse() *house { return &house{store: memory.New(memory.Options{}), broker: loopback.New(1)} }

// open starts a runtime; it is closed at the end of the test.
func (h *house) open(t testing.TB, connections ...config.Connection) *runtime.Runtime {
	t.Helper()
	cfg := config.Config{Connections: named(connections)}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	o := runtime.Options{
		Config: cfg, Durable: h.store, Volatile: memory.New(memory.Options{}),
		Dialer: func(config.Connection) (broker.Dialer, error) { return h.broker, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	}
	if h.options != nil {
		h.options(&o)
	}
	rt, err := runtime.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRuntime(t, rt) })
	return rt
}

// named fills in what every connection needs.
func named(connections []config.Connection) []config.Connection {
	for i := range connections {
		if connections[i].Broker == "" {
			connections[i].Broker = "mqtt://loopback"
		}
		if connections[i].ClientID == "" {
			connections[i].ClientID = connections[i].Name
		}
	}
	return connections
}

func closeRuntime(t testing.TB, rt *runtime.Runtime) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := rt.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func message(topic, payload string) types.Message {
	return types.Message{Topic: topic, Payload: []byte(payload), QoS: 1}
}

// payloads are those of what the broker got, without repetitions.
func (h *house) payloads() []string {
	var out []string
	seen := map[string]bool{}
	for _, m := range h.broker.Published() {
		if p := string(m.Payload); !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// Guarantees 1, 2 and 3: what Publish returned from survives the process, and
// leaves in order.
func TestPublishSurvives(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "cloud"})
	conn := rt.Connection("cloud")
	var want []string
	buffer := make([]byte, 0, 16)
	for i := range 500 {
		buffer = fmt.Appendf(buffer[:0], "m%d", i) // Publish copies: it may be used again
		seq, err := conn.Publish(t.Context(), types.Message{Topic: "t", Payload: buffer, QoS: 1})
		if err != nil || seq != types.Seq(i+1) {
			t.Fatalf("publish %d: %d, %v", i, seq, err)
		}
		want = append(want, string(buffer))
	}
	if s := conn.Status(); s.Outgoing.Pending != 500 || s.Outgoing.Accepted != 500 || s.Outgoing.Oldest == nil {
		t.Errorf("status: %+v", s.Outgoing)
	}
	h.store = h.store.Kill() // as if the process had died: the runtime above is cut off
	h.broker.Up()
	again := h.open(t, config.Connection{Name: "cloud"})
	if err := again.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.payloads(); !slices.Equal(got, want) {
		t.Errorf("the broker got %d messages, want %d in order; first %q", len(got), len(want), got[:min(3, len(got))])
	}
}

func TestPublication(t *testing.T) {
	h := newHouse()
	h.broker.Withhold(true)
	rt := h.open(t, config.Connection{Name: "cloud", Window: 2})
	conn := rt.Connection("cloud")
	var all []*runtime.Publication
	for i := range 6 {
		p, err := conn.PublishAsync(t.Context(), message("t", fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for i, p := range all {
		if seq, err := p.Stored(t.Context()); err != nil || seq != types.Seq(i+1) {
			t.Fatalf("stored %d: %d, %v", i, seq, err)
		}
	}
	if err := h.broker.WaitFor(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := all[0].Delivered(short); !errors.Is(err, context.Canceled) {
		t.Errorf("delivered before the broker answered: %v", err)
	}
	// The two in flight stay, the others go.
	n, err := conn.Clear(t.Context(), types.Selection{})
	if err != nil || n != 4 {
		t.Fatalf("cleared %d, %v; want 4", n, err)
	}
	if err := all[5].Delivered(t.Context()); !errors.Is(err, types.ErrNotDelivered) {
		t.Errorf("a cleared message: %v", err)
	}
	h.broker.Withhold(false)
	for i := range 2 {
		if err := all[i].Delivered(t.Context()); err != nil {
			t.Errorf("delivered %d: %v", i, err)
		}
		if err := all[i].Delivered(t.Context()); err != nil { // and once more, afterwards
			t.Errorf("delivered %d: %v", i, err)
		}
	}
	closeRuntime(t, rt)
	if _, err := conn.Publish(t.Context(), message("t", "late")); !errors.Is(err, types.ErrClosed) {
		t.Errorf("publish after close: %v", err)
	}
	if got := h.payloads(); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("the broker got %q", got)
	}
}

func TestDeliveredEndsWithTheRuntime(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "cloud"})
	p, err := rt.Connection("cloud").PublishAsync(t.Context(), message("t", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- p.Delivered(context.Background()) }()
	closeRuntime(t, rt)
	if err := <-waiting; !errors.Is(err, types.ErrClosed) {
		t.Errorf("delivered: %v, want ErrClosed", err)
	}
}

func TestPublishRefuses(t *testing.T) {
	rt := newHouse().open(t, config.Connection{Name: "cloud"})
	conn := rt.Connection("cloud")
	for _, c := range []struct {
		name string
		m    types.Message
		want error
	}{
		{"wildcard", message("a/#", ""), types.ErrInvalidTopic},
		{"NUL", message("a\x00b", ""), types.ErrInvalidTopic},
		{"bad UTF-8", message("a\xffb", ""), types.ErrInvalidTopic},
		{"control character", message("a\nb", ""), types.ErrInvalidTopic}, // a broker would end each link at it
		{"no topic", message("", ""), types.ErrInvalidTopic},
		{"QoS 3", types.Message{Topic: "a", QoS: 3}, types.ErrInvalidMessage},
		{"too large", types.Message{Topic: "a", Payload: make([]byte, config.DefaultMaxMessageSize+1)}, types.ErrTooLarge},
	} {
		if _, err := conn.Publish(t.Context(), c.m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if s := conn.Status().Outgoing; s.Refused != 7 || s.Accepted != 0 {
		t.Errorf("status: %+v", s)
	}
	if _, err := rt.Connection("nowhere").Publish(t.Context(), message("a", "")); !errors.Is(err, types.ErrUnknownConnection) {
		t.Errorf("unknown connection: %v", err)
	}
}

// Guarantee 1: a message for several connections is answered after the last
// commit, and is in none or in all of them.
func TestRoute(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t,
		config.Connection{Name: "all"},
		config.Connection{Name: "some", Forward: []config.Forward{{Topic: "a/#", RemotePrefix: "site/"}}},
		config.Connection{Name: "none", Forward: []config.Forward{}},
	)
	var wg sync.WaitGroup
	for _, topic := range []string{"a/1", "b/1", "$SYS/x"} {
		wg.Add(1)
		taken := rt.Route(message(topic, topic), types.Origin{}, func(err error) {
			if err != nil {
				t.Errorf("%s: %v", topic, err)
			}
			wg.Done()
		}, func() {})
		if !taken {
			t.Errorf("%s: no room", topic)
		}
	}
	wg.Wait()
	for name, want := range map[string]uint64{"all": 2, "some": 1, "none": 0} {
		if got := rt.Connection(name).Status().Outgoing.Pending; got != want {
			t.Errorf("%s has %d messages, want %d", name, got, want)
		}
	}
	refused := make(chan error, 1)
	long := types.Message{Topic: "a/" + string(make([]byte, types.MaxTopic-2))}
	if !rt.Route(long, types.Origin{}, func(err error) { refused <- err }, func() {}) || !errors.Is(<-refused, types.ErrInvalidTopic) {
		t.Error("a topic that the prefix makes invalid is taken")
	}
}

// S2.1: when one of the queues has no room, nothing is held in the others, and
// room is told once.
func TestRouteAllOrNone(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	stuck := &stuckStore{Store: h.store, name: "b/outgoing", release: make(chan struct{})}
	h.options = func(o *runtime.Options) { o.Durable = stuck }
	rt := h.open(t, config.Connection{Name: "a", Forward: []config.Forward{{Topic: "shared"}}}, config.Connection{Name: "b"})
	answered := make(chan error, 1<<16)
	big := types.Message{Topic: "only-b", Payload: make([]byte, 1<<20), QoS: 1}
	taken := 0
	room := make(chan struct{}, 1)
	for rt.Route(big, types.Origin{}, func(err error) { answered <- err }, func() { room <- struct{}{} }) {
		if taken++; taken > 64 {
			t.Fatal("a stalled store takes more than 64 MiB: memory has no bound")
		}
	}
	// The shared one waits for b, and a must not know of it. Its "a" part is
	// retried by the caller when there is room.
	sharedRoom := make(chan struct{}, 1)
	shared := types.Message{Topic: "shared", Payload: make([]byte, 1<<20), QoS: 1}
	if rt.Route(shared, types.Origin{}, func(err error) { answered <- err }, func() { sharedRoom <- struct{}{} }) {
		t.Fatal("taken although b has no room")
	}
	before := rt.Connection("a").Status().Outgoing.Accepted
	close(stuck.release)
	<-room
	<-sharedRoom
	for range taken {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if !rt.Route(shared, types.Origin{}, func(err error) { answered <- err }, func() {}) {
		t.Fatal("no room although everything was answered")
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if after := rt.Connection("a").Status().Outgoing.Accepted; after != before+1 {
		t.Errorf("a took %d of one message", after-before)
	}
}

// Everything is an actor: one per connection, queue and compactor, and killing
// any of them, again and again, loses and reorders nothing.
func TestActorsAreKilled(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "x", Window: 10}, config.Connection{Name: "y", Forward: []config.Forward{}, Subscribe: []config.Subscribe{{Topic: "down/#"}}})
	want := []string{"mqttdb/_compactor", "mqttdb/x", "mqttdb/x/inbound", "mqttdb/x/outgoing", "mqttdb/y", "mqttdb/y/inbound", "mqttdb/y/outgoing"}
	if got := rt.Running(); !slices.Equal(got, want) {
		t.Fatalf("running actors: %q, want %q", got, want)
	}
	var stored []string
	for i := range 200 {
		if i%16 == 15 { // each of them four times: the waits before a restart grow
			victim := []string{"mqttdb/x", "mqttdb/x/outgoing", "mqttdb/_compactor"}[i/16%3]
			if err := rt.Kill(victim); err != nil {
				t.Fatal(err)
			}
		}
		text := fmt.Sprint("m", i)
		for {
			_, err := rt.Connection("x").Publish(t.Context(), message("t", text))
			if err == nil {
				break
			}
			if !errors.Is(err, types.ErrInterrupted) {
				t.Fatal(err)
			}
		}
		stored = append(stored, text)
	}
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.payloads(); !slices.Equal(got, stored) {
		t.Errorf("the broker got %d messages, %d were stored", len(got), len(stored))
	}
	if got := rt.Running(); !slices.Equal(got, want) {
		t.Errorf("running actors after the kills: %q, want %q", got, want)
	}
	if err := rt.Kill("mqttdb/nobody"); err == nil {
		t.Error("an actor that is not there was killed")
	}
}

func TestWatch(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "cloud"})
	ctx, cancel := context.WithCancel(t.Context())
	statuses := rt.Watch(ctx)
	<-statuses
	if _, err := rt.Connection("cloud").Publish(t.Context(), message("t", "x")); err != nil {
		t.Fatal(err)
	}
	for s := range statuses {
		if s[0].Outgoing.Pending == 1 {
			break
		}
	}
	cancel()
	for range statuses {
	}
	end := rt.Watch(t.Context())
	closeRuntime(t, rt)
	for range end { // is closed with the runtime
	}
}

// A connection that does not persist touches no store that does.
func TestVolatile(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "cloud", Persist: config.Persist{Outgoing: config.Off}})
	if _, err := rt.Connection("cloud").Publish(t.Context(), message("t", "x")); err != nil {
		t.Fatal(err)
	}
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, _ := h.store.Names(t.Context()); len(names) != 0 {
		t.Errorf("the durable store has %q", names)
	}
}

func TestClientIDIsMadeOnce(t *testing.T) {
	h := newHouse()
	names := map[string]bool{}
	h.options = func(o *runtime.Options) {
		o.Config.Connections[0].ClientID = ""
		o.Dialer = func(config.Connection) (broker.Dialer, error) {
			return dialerFunc(func(ctx context.Context, o broker.ConnectOptions, tell func(broker.Event)) (broker.Link, broker.Session, error) {
				names[o.ClientID] = true
				return h.broker.Dial(ctx, o, tell)
			}), nil
		}
	}
	for range 3 {
		rt := h.open(t, config.Connection{Name: "cloud"})
		if _, err := rt.Connection("cloud").Publish(t.Context(), message("t", "x")); err != nil {
			t.Fatal(err)
		}
		if err := rt.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeRuntime(t, rt)
	}
	if len(names) != 1 {
		t.Errorf("client ids: %v", names)
	}
	for name := range names {
		if len(name) != len("mqttdb-cloud-12345678") {
			t.Errorf("client id %q", name)
		}
	}
}

func TestOrphan(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "old"})
	if _, err := rt.Connection("old").Publish(t.Context(), message("t", "x")); err != nil {
		t.Fatal(err)
	}
	closeRuntime(t, rt)
	rt = h.open(t, config.Connection{Name: "new"})
	s := rt.Status()
	if len(s) != 2 || s[1].Name != "old" || !s[1].Orphan || s[1].Outgoing.Pending != 1 {
		t.Errorf("status: %+v", s)
	}
	if text, err := json.Marshal(s); err != nil || bytes.Contains(text, []byte(`"dropped_by":null`)) {
		t.Errorf("%s, %v: dropped_by is to be an object", text, err)
	}
}

// What comes from the broker reaches local clients with its local topic.
func TestIncoming(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "cloud", Subscribe: []config.Subscribe{{Topic: "cmd/#", RemotePrefix: "site/"}}})
	got := make(chan types.Message, 1)
	rt.Deliver(func(m types.Message) { got <- m })
	if err := h.broker.WaitForFilters(t.Context(), "cloud", 1); err != nil {
		t.Fatal(err)
	}
	h.broker.Publish(message("site/cmd/1", "go"))
	if m := <-got; m.Topic != "cmd/1" || string(m.Payload) != "go" || m.QoS != 1 {
		t.Errorf("got %+v", m)
	}
}
