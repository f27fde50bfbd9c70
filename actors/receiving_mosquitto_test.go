//go:build unix

package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// cutNetwork makes network connections that can be cut.
type cutNetwork struct {
	addr string

	mu   sync.Mutex
	conn net.Conn
}

func (n *cutNetwork) dial(ctx context.Context) (broker.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", n.addr)
	if err == nil {
		n.mu.Lock()
		n.conn = conn
		n.mu.Unlock()
	}
	return conn, err
}

// cut resets the connection, as a kill -9 of the process that has it would.
func (n *cutNetwork) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if tcp, ok := n.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

// publishAll publishes messages at QoS 2, and returns when the broker has taken all.
func publishAll(ctx context.Context, addr string, list []types.Message) error {
	network := &cutNetwork{addr: addr}
	events := make(chan broker.Event, 1000)
	d := mqtt.Dialer{Network: network.dial}
	link, _, err := d.Dial(ctx, broker.ConnectOptions{ClientID: "source", CleanSession: true, Protocol: broker.MQTT311}, func(e broker.Event) { events <- e })
	if err != nil {
		return err
	}
	defer link.Close(true)
	sent, done := 0, 0
	for done < len(list) {
		var p []broker.Publish
		for ; sent < len(list) && sent-done < 20; sent++ {
			p = append(p, broker.Publish{ID: uint16(sent%60000 + 1), Message: list[sent]})
		}
		if err := link.Publish(p); err != nil {
			return err
		}
		select {
		case e := <-events:
			acked, ok := e.(broker.Acked)
			if !ok {
				continue
			}
			var release []uint16
			for _, a := range acked.Acks {
				if a.Kind == broker.PubComp {
					done++
				} else {
					release = append(release, a.ID)
				}
			}
			if err := link.Release(release); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// S4.1, S4.2: a real broker, links that are reset again and again, some two in
// quick succession, the process that dies at times: every message of QoS 2 is
// stored once, in order.
func TestReceivingFromMosquitto(t *testing.T) {
	const count, faults = 3000, 40
	m := mosquitto.Start(t, mosquitto.WithConfig("max_queued_messages 0"))
	network := &cutNetwork{addr: m.Addr()}
	h := newReceivingHouse(t)
	connect := func() *Connection {
		sys := newTestSystem(t)
		out, _ := startQueue(t, sys, h.store, func(c *QueueConfig) {
			c.Name, c.Open = "out/outgoing", h.store.opener("out/outgoing")
		})
		c, err := SpawnConnection(sys, ConnectionConfig{
			Name: "conn", Brokers: []Broker{{Name: "m", Dialer: &mqtt.Dialer{Network: network.dial}}}, Queue: out, Inbound: h.in.Ref,
			Filters: []broker.Filter{{Topic: "in/#", QoS: 2}},
			Backoff: Backoff{First: time.Millisecond, Max: 2 * time.Millisecond},
			Changed: h.bell.ring,
			Options: func(context.Context) (broker.ConnectOptions, error) {
				return broker.ConnectOptions{ClientID: "sink", Protocol: broker.MQTT311, KeepAlive: 10 * time.Second}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var want []types.Message
	for i := range count {
		want = append(want, types.Message{Topic: fmt.Sprint("in/", i%7), QoS: 2, Payload: []byte(fmt.Sprint(i)), Retain: i == 0})
	}
	// The first one is retained: it comes when we have subscribed.
	if err := publishAll(t.Context(), m.Addr(), want[:1]); err != nil {
		t.Fatal(err)
	}
	c := connect()
	online := func() {
		h.bell.wait(t, "a link", func() bool { return c.Status().State == types.Online })
	}
	h.bell.wait(t, "the subscription", func() bool { return h.queue.State().Pending() == 1 })
	published := make(chan error, 1)
	go func() { published <- publishAll(t.Context(), m.Addr(), want[1:]) }()
	seed := rand.Uint64()
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(3, seed))
	for fault := range faults {
		enough := min(count, h.queue.State().Pending()+20+rnd.Uint64N(40))
		h.bell.wait(t, "some messages", func() bool { return h.queue.State().Pending() >= enough })
		network.cut()
		if fault%3 == 0 {
			online()
			network.cut()
		}
		if fault%10 == 9 {
			h.die()
			network.cut()
			stop(t, c.Ref)
			h.start()
			c = connect()
		}
		online()
	}
	if err := receive(t, published, "all to be published"); err != nil {
		t.Fatal(err)
	}
	h.bell.wait(t, "all messages", func() bool { return h.queue.State().Pending() >= count })
	stop(t, c.Ref)
	got := h.stored()
	t.Log("repeated", h.in.Repeated())
	if !slices.Equal(strings.Fields(payloadsOf(got)), strings.Fields(payloadsOf(want))) {
		seen := map[string]int{}
		for _, m := range got {
			seen[string(m.Payload)]++
		}
		dup := 0
		for _, n := range seen {
			dup += n - 1
		}
		t.Errorf("%d stored, %d different, %d doubled", len(got), len(seen), dup)
	}
}
