package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// reload makes rt what connections say, as open does.
func (h *house) reload(ctx context.Context, rt *runtime.Runtime, connections ...config.Connection) (runtime.Reloaded, error) {
	return rt.Reload(ctx, config.Config{Connections: named(connections)})
}

func (h *house) mustReload(t testing.TB, rt *runtime.Runtime, connections ...config.Connection) runtime.Reloaded {
	t.Helper()
	done, err := h.reload(t.Context(), rt, connections...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// route stores a message as the local broker does.
func route(t testing.TB, rt *runtime.Runtime, m types.Message) {
	t.Helper()
	answer := make(chan error, 1)
	if !rt.Route(m, types.Origin{}, func(err error) { answer <- err }, func() {}) {
		t.Fatal("there is no room")
	}
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
}

// await waits until a status that Watch tells satisfies.
func await(t testing.TB, rt *runtime.Runtime, what string, satisfied func([]types.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for statuses := range rt.Watch(ctx) {
		if satisfied(statuses) {
			return
		}
	}
	t.Fatalf("never %s: %+v", what, rt.Status())
}

func online(name string) func([]types.Status) bool {
	return func(statuses []types.Status) bool {
		return slices.ContainsFunc(statuses, func(s types.Status) bool { return s.Name == name && s.State == types.Online })
	}
}

func TestReloadSaysWhatItDid(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a"}, config.Connection{Name: "b"}, config.Connection{Name: "c"})
	kept := rt.Connection("a")
	done := h.mustReload(t, rt, config.Connection{Name: "d"}, config.Connection{Name: "a"}, config.Connection{Name: "b", Window: 5})
	if got := fmt.Sprint(done); got != "{[d] [c] [b] [connections.b.window]}" {
		t.Errorf("added, removed, changed, settings: %s", got)
	}
	var names []string
	for _, s := range rt.Status() {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"d", "a", "b"}) || rt.Connection("a") != kept || rt.Connection("c") != nil {
		t.Errorf("status: %v", names)
	}
	want := []string{"mqttdb/_compactor", "mqttdb/a", "mqttdb/a/inbound", "mqttdb/a/outgoing", "mqttdb/b", "mqttdb/b/inbound", "mqttdb/b/outgoing", "mqttdb/d", "mqttdb/d/inbound", "mqttdb/d/outgoing"}
	if got := rt.Running(); !slices.Equal(got, want) {
		t.Errorf("%v run, want %v", got, want)
	}
}

// A connection whose settings are the same is not touched: it keeps its link.
// That with new routes does, too.
func TestReloadKeepsLinks(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a"}, config.Connection{Name: "b"}, config.Connection{Name: "c"})
	for _, name := range []string{"a", "b", "c"} {
		await(t, rt, "online", online(name))
	}
	since := func(name string) time.Time { return rt.Connection(name).Status().Since }
	a, b, c := since("a"), since("b"), since("c")
	h.mustReload(t, rt, config.Connection{Name: "a"},
		config.Connection{Name: "b", Forward: []config.Forward{{Topic: "new/#"}}, CommitDelay: time.Millisecond, Rate: config.Rate{Messages: 5000}},
		config.Connection{Name: "c", KeepAlive: 7 * time.Second})
	await(t, rt, "online again", online("c"))
	if since("a") != a || since("b") != b {
		t.Error("a link was made anew without a reason")
	}
	if since("c") == c {
		t.Error("the link was not made anew")
	}
}

// Routes change for all connections at the same moment.
func TestReloadRoutes(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	only := func(name, topic string) config.Connection {
		return config.Connection{Name: name, Forward: []config.Forward{{Topic: topic}}}
	}
	rt := h.open(t, only("a", "x"), only("b", "y"))
	pending := func() string {
		var list []uint64
		for _, s := range rt.Status() {
			list = append(list, s.Outgoing.Pending)
		}
		return fmt.Sprint(list)
	}
	route(t, rt, message("x", "1"))
	if got := pending(); got != "[1 0]" {
		t.Fatal(got)
	}
	stop, routed := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				routed <- n
				return
			default:
				route(t, rt, message("x", "n"))
			}
		}
	}()
	for i := range 20 {
		if i%2 == 0 {
			h.mustReload(t, rt, only("a", "y"), only("b", "x"))
		} else {
			h.mustReload(t, rt, only("a", "x"), only("b", "y"))
		}
	}
	close(stop)
	n := <-routed
	if sum := rt.Connection("a").Status().Outgoing.Pending + rt.Connection("b").Status().Outgoing.Pending; sum != uint64(n)+1 {
		t.Errorf("%d messages are stored of %d", sum, n+1)
	}
}

// What is wrong, or takes a restart, changes nothing at all.
func TestReloadAllOrNothing(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a", Forward: []config.Forward{{Topic: "x"}}}, config.Connection{Name: "b"})
	await(t, rt, "online", online("a"))
	since := rt.Connection("a").Status().Since
	change := func(c config.Connection) config.Config {
		c.Forward = []config.Forward{{Topic: "y"}}
		return config.Config{Connections: named([]config.Connection{c, {Name: "new"}})}
	}
	large := change(config.Connection{Name: "a"})
	large.MaxMessageSize = 1 << 20
	moved := change(config.Connection{Name: "a"})
	moved.DataDir = "elsewhere"
	var locked = change(config.Connection{Name: "a"})
	locked.Connections = append(locked.Connections, named([]config.Connection{{Name: "locked"}})...)
	h.store.Open(t.Context(), "locked/outgoing")
	for _, c := range []struct {
		name, says string
		is         error
		cfg        config.Config
	}{
		{"wrong", "connections.a.window: must be from 1 to 1000", nil, change(config.Connection{Name: "a", Window: 5000})},
		{"max_message_size", "max_message_size: cannot be changed", types.ErrNeedsRestart, large},
		{"data_dir", "data_dir: cannot be changed", types.ErrNeedsRestart, moved},
		{"sync", "connections.a.sync: cannot be changed", types.ErrNeedsRestart, change(config.Connection{Name: "a", Sync: config.Never})},
		{"persist", "connections.a.persist.outgoing: cannot be changed", types.ErrNeedsRestart, change(config.Connection{Name: "a", Persist: config.Persist{Outgoing: config.Off}})},
		{"store in use", "start connection locked", types.ErrInUse, locked},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := rt.Reload(t.Context(), c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %s", err, c.says)
			}
			var names []string
			for _, s := range rt.Status() {
				names = append(names, s.Name)
			}
			if !slices.Equal(names, []string{"a", "b"}) || rt.Connection("a").Status().Since != since || len(rt.Running()) != 7 {
				t.Errorf("something changed: %v, %v", names, rt.Running())
			}
			before := rt.Connection("a").Status().Outgoing.Accepted
			route(t, rt, message("x", "m"))
			if rt.Connection("a").Status().Outgoing.Accepted != before+1 {
				t.Error("the routes changed")
			}
		})
	}
}

// A connection that is removed with messages is an orphan, and finds them when it
// comes back.
func TestReloadOrphans(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "a"}, config.Connection{Name: "b"})
	gone := rt.Connection("a")
	if _, err := gone.Publish(t.Context(), message("t", "m")); err != nil {
		t.Fatal(err)
	}
	h.mustReload(t, rt, config.Connection{Name: "b"})
	if s := rt.Status(); len(s) != 2 || !s[1].Orphan || s[1].Name != "a" || s[1].Outgoing.Pending != 1 || s[1].Hint == "" {
		t.Fatalf("%+v", s)
	}
	if _, err := gone.Publish(t.Context(), message("t", "x")); !errors.Is(err, types.ErrClosed) {
		t.Errorf("publish on what was removed: %v", err)
	}
	h.mustReload(t, rt, config.Connection{Name: "b", Window: 9})
	if s := rt.Status(); len(s) != 2 || !s[1].Orphan {
		t.Fatalf("the orphan is forgotten: %+v", s)
	}
	h.broker.Up()
	h.mustReload(t, rt, config.Connection{Name: "b"}, config.Connection{Name: "a"})
	if s := rt.Status(); len(s) != 2 || s[1].Orphan {
		t.Fatalf("%+v", s)
	}
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.payloads(); !slices.Equal(got, []string{"m"}) {
		t.Errorf("the broker got %q", got)
	}
}

// A connection that is paused stays so.
func TestReloadPaused(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a"})
	await(t, rt, "online", online("a"))
	if err := rt.Connection("a").Pause(); err != nil {
		t.Fatal(err)
	}
	await(t, rt, "paused", func(s []types.Status) bool { return s[0].State == types.Paused })
	h.mustReload(t, rt, config.Connection{Name: "a", Window: 3})
	await(t, rt, "paused", func(s []types.Status) bool { return s[0].State == types.Paused })
	if err := rt.Connection("a").Resume(); err != nil {
		t.Fatal(err)
	}
	await(t, rt, "online", online("a"))
}

// A connection that is no longer told its client id makes one.
func TestReloadClientID(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a"})
	cfg := config.Config{Connections: []config.Connection{{Name: "a", Broker: "mqtt://loopback"}}}
	if _, err := rt.Reload(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	await(t, rt, "online", online("a"))
}

// Reloads, load, and the end, all at once: nothing hangs and nothing is lost.
func TestReloadUnderLoad(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a"})
	const messages, reloads = 2000, 50
	failed := make(chan error, 1)
	go func() {
		for i := range reloads {
			c := config.Connection{Name: "a", Window: 1 + i%7}
			list := []config.Connection{c}
			if i%3 == 0 {
				list = append(list, config.Connection{Name: "b", Forward: []config.Forward{}})
			}
			if _, err := h.reload(t.Context(), rt, list...); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	var want []string
	for i := range messages {
		want = append(want, fmt.Sprint(i))
		route(t, rt, message("t", want[i]))
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.payloads(); !slices.Equal(got, want) {
		t.Errorf("the broker got %d messages, want %d in order", len(got), len(want))
	}
	if n := len(h.broker.Published()); n != messages {
		t.Errorf("%d messages arrived, %d were published: some twice, though every link ended properly", n, messages)
	}
}

func TestReloadAfterClose(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "a"})
	closeRuntime(t, rt)
	if _, err := h.reload(t.Context(), rt); !errors.Is(err, types.ErrClosed) {
		t.Error(err)
	}
}

// A Close in the middle of a Reload ends everything, whatever came first.
func TestReloadDuringClose(t *testing.T) {
	for i := range 10 {
		h := newHouse()
		rt := h.open(t, config.Connection{Name: "a"}, config.Connection{Name: "b"})
		reloaded := make(chan error, 1)
		go func() {
			_, err := h.reload(context.Background(), rt, config.Connection{Name: "a", Window: 2 + i}, config.Connection{Name: "c"})
			reloaded <- err
		}()
		if i%2 == 0 {
			await(t, rt, "with c", func(s []types.Status) bool {
				return slices.ContainsFunc(s, func(s types.Status) bool { return s.Name == "c" })
			})
		}
		closeRuntime(t, rt)
		if err := <-reloaded; err != nil && !errors.Is(err, types.ErrClosed) {
			t.Fatal(err)
		}
		if left := rt.Running(); len(left) > 0 {
			t.Fatalf("still running: %v", left)
		}
	}
}

// What hangs is found, and named.
func TestAlive(t *testing.T) {
	h := newHouse()
	stuck := &stuckStore{h.store, "b/outgoing", make(chan struct{})}
	h.options = func(o *runtime.Options) { o.Durable = stuck }
	rt := h.open(t, config.Connection{Name: "a"}, config.Connection{Name: "b"})
	if err := rt.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := rt.Connection("b").PublishAsync(t.Context(), message("t", "m"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // until the write has begun
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err = rt.Alive(ctx)
		cancel()
	}
	if !strings.HasPrefix(err.Error(), "no sign of life from mqttdb/b/outgoing:") {
		t.Errorf("%v", err)
	}
	close(stuck.release)
	if _, err := p.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := rt.Alive(t.Context()); err != nil {
		t.Error(err)
	}
}

// What was in flight and is sent again over the new link is marked as sent before
// [MQTT-3.3.1-1].
func TestReloadMarksRepeats(t *testing.T) {
	h := newHouse()
	h.broker.Withhold(true)
	sent := make(chan broker.Publish, 10)
	h.options = func(o *runtime.Options) {
		o.Dialer = func(config.Connection) (broker.Dialer, error) {
			return dialerFunc(func(ctx context.Context, co broker.ConnectOptions, tell func(broker.Event)) (broker.Link, broker.Session, error) {
				link, session, err := h.broker.Dial(ctx, co, tell)
				return &overheard{link, sent}, session, err
			}), nil
		}
	}
	rt := h.open(t, config.Connection{Name: "a"})
	if _, err := rt.Connection("a").Publish(t.Context(), message("t", "m")); err != nil {
		t.Fatal(err)
	}
	if p := <-sent; p.Dup {
		t.Error("the first time it is marked as sent before")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.reload(ctx, rt, config.Connection{Name: "a", Window: 9}); err != nil {
		t.Fatal(err)
	}
	if p := <-sent; !p.Dup || string(p.Message.Payload) != "m" {
		t.Errorf("%+v", p)
	}
	h.broker.Withhold(false)
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// overheard is a link whose publishes are told.
type overheard struct {
	broker.Link
	sent chan broker.Publish
}

func (l *overheard) Publish(p []broker.Publish) error {
	for _, one := range p {
		l.sent <- one
	}
	return l.Link.Publish(p)
}
