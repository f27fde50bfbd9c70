//go:build unix

package mqtt_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// dial connects to m and returns the link with its events.
func dial(t *testing.T, m *mosquitto.Broker, o broker.ConnectOptions) (broker.Link, <-chan broker.Event) {
	t.Helper()
	events := make(chan broker.Event, 1000)
	d := mqtt.Dialer{Network: tcp(m.Addr())}
	link, _, err := d.Dial(context.Background(), o, func(e broker.Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close(false) })
	return link, events
}

// next waits for an event of a type and drops those before it.
func next[E broker.Event](t *testing.T, events <-chan broker.Event) E {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-events:
			if e, ok := e.(E); ok {
				return e
			}
		case <-limit:
			var e E
			t.Fatalf("no %T", e)
		}
	}
}

func TestMQTT31(t *testing.T) {
	m := mosquitto.Start(t)
	link, events := dial(t, m, broker.ConnectOptions{ClientID: "old", CleanSession: true, Protocol: broker.MQTT31})
	if err := link.Subscribe(1, []broker.Filter{{Topic: "a", QoS: 2}}); err != nil {
		t.Fatal(err)
	}
	next[broker.Subscribed](t, events)
	if err := link.Publish([]broker.Publish{{ID: 7, Message: types.Message{Topic: "a", QoS: 2, Payload: []byte("x")}}}); err != nil {
		t.Fatal(err)
	}
	next[broker.Acked](t, events)
	if err := link.Release([]uint16{7}); err != nil {
		t.Fatal(err)
	}
	if in := next[broker.Received](t, events).Packets[0]; string(in.Message.Payload) != "x" || in.Message.QoS != 2 {
		t.Errorf("%+v", in)
	}
}

// A broker that stops in the middle of everything is found out within twice the
// keepalive, idle and publishing, on a real socket with real buffers.
func TestHalfOpenLinkToARealBroker(t *testing.T) {
	const interval = time.Second
	m := mosquitto.Start(t)
	o := broker.ConnectOptions{CleanSession: true, Protocol: broker.MQTT311, KeepAlive: interval}
	o.ClientID = "idle"
	_, idle := dial(t, m, o)
	o.ClientID = "busy"
	link, busy := dial(t, m, o)
	m.Freeze()
	frozen := time.Now()
	go func() {
		tick := time.NewTicker(interval / 50)
		defer tick.Stop()
		p := []broker.Publish{{Message: types.Message{Topic: "t", Payload: make([]byte, 1000)}}}
		for link.Publish(p) == nil {
			<-tick.C
		}
	}()
	for name, events := range map[string]<-chan broker.Event{"idle": idle, "busy": busy} {
		err := next[broker.Down](t, events).Err
		if err == nil || !strings.Contains(err.Error(), "no answer from the broker") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Both ran at the same time; a slow machine gets some grace.
	if took := time.Since(frozen); took > 2*interval+time.Second {
		t.Errorf("found out after %v, the keepalive is %v", took, interval)
	}
}
