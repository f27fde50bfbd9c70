//go:build unix

package links_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/types"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// open runs a gateway's connection until the test ends.
func open(t *testing.T, dir string, c mqttdb.ConnectionConfig) *mqttdb.DB {
	t.Helper()
	c.Name = "cloud"
	db, err := mqttdb.Open(t.Context(), mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{c}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t *testing.T, db *mqttdb.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := db.Close(ctx); err != nil {
		t.Error(err)
	}
}

// await waits until the status is as wanted, and returns it.
func await(t *testing.T, db *mqttdb.DB, what string, wanted func(mqttdb.Status) bool) mqttdb.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var s mqttdb.Status
	for statuses := range db.Watch(ctx) {
		if s = statuses[0]; wanted(s) {
			return s
		}
	}
	t.Fatalf("waited in vain for %s: %+v", what, s)
	return s
}

func is(state types.State) func(mqttdb.Status) bool {
	return func(s mqttdb.Status) bool { return s.State == state }
}

// publish stores messages with these payloads, one after the other.
func publish(t *testing.T, db *mqttdb.DB, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if _, err := db.Connection("cloud").Publish(t.Context(), mqttdb.Message{Topic: "t", Payload: []byte(p), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are n payloads, from first on.
func numbers(first, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(first + i)
	}
	return list
}

func drain(t *testing.T, db *mqttdb.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := db.Drain(ctx); err != nil {
		t.Fatalf("%v: %+v", err, db.Connection("cloud").Status())
	}
}

// subscriber is a client of a broker's own that keeps what it gets.
type subscriber struct {
	mu       sync.Mutex
	changed  *sync.Cond
	messages []types.Message
}

// subscribe connects one to the plain listener of a broker.
func subscribe(t *testing.T, addr string, filters ...string) *subscriber {
	t.Helper()
	network, err := dial.Network(dial.Options{URL: "mqtt://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{}
	s.changed = sync.NewCond(&s.mu)
	granted, packets := make(chan struct{}), make(chan broker.Received, 10_000)
	d := &mqtt.Dialer{Network: network}
	o := broker.ConnectOptions{ClientID: "subscriber-" + strings.NewReplacer("/", "", "#", "").Replace(strings.Join(filters, "")), CleanSession: true, Protocol: broker.MQTT311, KeepAlive: time.Minute}
	link, _, err := d.Dial(t.Context(), o, func(e broker.Event) {
		switch e := e.(type) {
		case broker.Subscribed:
			close(granted)
		case broker.Received:
			packets <- e
		case broker.Down:
			close(packets)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close(true) })
	var asked []broker.Filter
	for _, f := range filters {
		asked = append(asked, broker.Filter{Topic: f, QoS: 1})
	}
	if err := link.Subscribe(1, asked); err != nil {
		t.Fatal(err)
	}
	go func() {
		for e := range packets {
			s.take(link, e.Packets)
		}
	}()
	<-granted
	return s
}

func (s *subscriber) take(link broker.Link, packets []broker.Inbound) {
	var acks []broker.Ack
	s.mu.Lock()
	for _, p := range packets {
		s.messages = append(s.messages, p.Message)
		if p.Message.QoS == 1 {
			acks = append(acks, broker.Ack{Kind: broker.PubAck, ID: p.ID})
		}
	}
	s.mu.Unlock()
	s.changed.Broadcast()
	_ = link.Acknowledge(acks) // of a link that is closed nobody wants them
}

// payloads is what came, in its order.
func (s *subscriber) payloads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked()
}

func (s *subscriber) locked() []string {
	list := make([]string, len(s.messages))
	for i, m := range s.messages {
		list[i] = string(m.Payload)
	}
	return list
}

// until waits until what came is as wanted.
func (s *subscriber) until(t *testing.T, what string, wanted func(payloads []string) bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !wanted(s.locked()) {
		if late {
			t.Fatalf("waited in vain for %s; there is %q", what, s.locked())
		}
		s.changed.Wait()
	}
}

// gets waits until the payloads are exactly these.
func (s *subscriber) gets(t *testing.T, payloads []string) {
	t.Helper()
	s.until(t, strings.Join(payloads, " "), func(got []string) bool { return slices.Equal(got, payloads) })
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// network is a way to a broker that can be made worse.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newNetwork leads to addr. It begins at a port below those that the kernel gives
// away by itself, so that nobody gets it while the network is cut.
func newNetwork(t *testing.T, addr string) *network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for range 100 {
		n := &network{t: t, proxy: toxiproxy.NewProxy(server, "test", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000)), addr)}
		if n.proxy.Start() == nil {
			t.Cleanup(n.cut)
			return n
		}
	}
	t.Fatal("no free port from 10000 to 32000")
	return nil
}

// addr is where it begins; it stays the same.
func (n *network) addr() string { return n.proxy.Listen }

// cut ends all connections and takes no new ones.
func (n *network) cut() { n.proxy.Stop() }

// restore undoes cut.
func (n *network) restore() {
	n.t.Helper()
	if err := n.proxy.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// ail makes the network ill in both directions: "timeout" without one swallows
// all that is sent, also of new connections.
func (n *network) ail(toxic, attributes string) {
	n.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, stream, toxic, stream, attributes)
		if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			n.t.Fatal(err)
		}
	}
}

// heal undoes ail; connections that were swallowed stay dead.
func (n *network) heal() {
	n.t.Helper()
	n.proxy.Toxics.ResetToxics(context.Background())
}
