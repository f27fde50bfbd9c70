package sidecar_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/sidecar"
)

const session = "session-0123456789"

// rig is a sidecar in this process, with a broker and stores in memory.
type rig struct {
	t       *testing.T
	broker  *counting
	store   persistence.Store
	server  *sidecar.Server
	address string
	stopped chan struct{} // closed by STOP
	dir     string
}

// counting counts how often a broker was dialed.
type counting struct {
	*loopback.Broker
	mu sync.Mutex
	n  int
}

func (c *counting) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Broker.Dial(ctx, o, events)
}

func (c *counting) dialed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func newRig(t *testing.T) *rig { return newRigOn(t, memory.New(memory.Options{})) }

func newRigOn(t *testing.T, store persistence.Store) *rig {
	r := &rig{t: t, broker: &counting{Broker: loopback.New(1)}, store: store, dir: filepath.Join(t.TempDir(), "data")}
	r.start("")
	return r
}

// start starts a sidecar on the stores.
func (r *rig) start(token string) {
	r.t.Helper()
	address, err := sidecar.Listen("unix:" + filepath.Join(shortDir(r.t), "s"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.address, r.stopped = address.Name, make(chan struct{})
	r.server = sidecar.New(sidecar.Options{Version: "test", Token: token, Open: r.open, Stop: sync.OnceFunc(func() { close(r.stopped) })})
	served := make(chan error, 1)
	server := r.server
	go func() { served <- server.Serve(address) }()
	r.t.Cleanup(func() {
		r.close(server)
		if err := <-served; err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rig) close(server *sidecar.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		r.t.Error(err)
	}
}

// open starts a runtime as the program does, but in memory.
func (r *rig) open(ctx context.Context, c config.Config, h sidecar.Hooks) (sidecar.Engine, error) {
	if err := c.SetDefaultsAndValidate(); err != nil {
		return sidecar.Engine{}, err
	}
	rt, err := runtime.Open(ctx, runtime.Options{
		Config: c, Durable: kept{r.store}, Volatile: memory.New(memory.Options{}), Paused: h.Paused, Buffered: h.Buffered,
		Dialer: func(config.Connection) (broker.Dialer, error) { return r.broker, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		return sidecar.Engine{}, err
	}
	return sidecar.Engine{Runtime: rt, Reload: rt.Reload}, nil
}

// kept is a store that outlives its runtime.
type kept struct{ persistence.Store }

func (kept) Close() error { return nil }

// shortDir is a private directory with a path that is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if len(dir) > 90 {
		t.Fatalf("%s is too long for a socket", dir)
	}
	return filepath.Join(dir, "p")
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// peer connects a client.
func (r *rig) peer(session string) *peer.Peer {
	r.t.Helper()
	p := peer.New(session, r.dir)
	r.dial(p)
	return p
}

func (r *rig) dial(p *peer.Peer) {
	r.t.Helper()
	if err := p.Dial(within(r.t), r.address); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { p.Close() })
}

// settings are those of a connection, changed as pairs of keys and values say.
func settings(pairs ...any) map[string]any {
	m := map[string]any{"url": "mqtt://broker", "client_id": "c"}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

var stored = map[string]bool{"outgoing": true, "incoming": true}

// ask says a request that must succeed.
func ask(t testing.TB, p *peer.Peer, kind sidecar.Type, target sidecar.Target, payload any) string {
	t.Helper()
	value, err := p.Ask(within(t), kind, target, payload)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return string(value)
}

// refused says a request that must fail with that code.
func refused(t testing.TB, p *peer.Peer, code string, kind sidecar.Type, target sidecar.Target, payload any) {
	t.Helper()
	_, err := p.Ask(within(t), kind, target, payload)
	if err == nil || !strings.HasPrefix(err.Error(), code+": ") {
		t.Errorf("%s: %v, want %s", kind, err, code)
	}
}

var b = sidecar.Target{Broker: "b"}

func publish(t testing.TB, p *peer.Peer, flags uint8, payloads ...string) {
	t.Helper()
	list := make([][]byte, len(payloads))
	for i, text := range payloads {
		list[i] = []byte(text)
	}
	if err := p.Publish(sidecar.MessageHeader{Broker: "b", Topic: "t", QoS: 1}, flags, list...); err != nil {
		t.Fatal(err)
	}
}

func acked(t testing.TB, p *peer.Peer) {
	t.Helper()
	if err := p.Acked(within(t)); err != nil {
		t.Fatal(err)
	}
}

func status(t testing.TB, p *peer.Peer, is func(sidecar.BrokerStatus) bool) {
	t.Helper()
	if err := p.Broker(within(t), "b", is); err != nil {
		t.Fatal(err)
	}
}

func online(s sidecar.BrokerStatus) bool { return s.State == "online" }

// arrived waits until the broker has n messages and returns their payloads.
func (r *rig) arrived(n int) string {
	r.t.Helper()
	if err := r.broker.WaitFor(within(r.t), n); err != nil {
		r.t.Fatalf("%v: the broker has %d messages", err, len(r.broker.Published()))
	}
	var list []string
	for _, m := range r.broker.Published() {
		list = append(list, string(m.Payload))
	}
	return strings.Join(list, " ")
}

func texts(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}
