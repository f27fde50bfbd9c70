//go:build unix

package prove

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// held is how many messages a liar has acknowledged and not passed on yet.
const held = 50

// A gateway that acknowledges before it has stored: one is made of the real one
// and a link to it that acknowledges by itself. What it holds when the gateway is
// killed is lost, and the proof fails and says so.
func TestLiarBeforeTheGateway(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.QoS = []types.QoS{1}
	o.toGateway = lying
	found(t, o, held)
}

// A gateway that takes for delivered what the broker has not acknowledged: one is
// made of the real one and a proxy that acknowledges by itself.
func TestLiarBehindTheGateway(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.QoS = []types.QoS{1}
	o.toBroker = proxied(t, lieTo)
	found(t, o, 1) // what it holds in the end may be repetitions, but the last message is one of it
}

// A gateway that acknowledges to the broker what it does not store: one is made of
// the real one and a proxy that does that with some.
func TestLiarToTheBroker(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.QoS, o.Incoming = []types.QoS{1}, true
	o.toBroker = proxied(t, forget)
	r, err := Run(t.Context(), o)
	if err != nil || r.Proven() || len(r.Verdicts) != 1 || r.Verdicts[0].Lost.Count == 0 {
		t.Fatalf("%v\n%s", err, text(t, r))
	}
	if said := text(t, r); !strings.Contains(said, "QoS 1 incoming: acknowledged and lost: ") {
		t.Errorf("it says\n%s", said)
	}
}

// found fails the test unless the proof finds that at least so many were lost.
func found(t *testing.T, o Options, least int) {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil || r.Proven() || !r.Kept || len(r.Verdicts) != 1 || r.Verdicts[0].Lost.Count < least {
		t.Fatalf("%v\n%s", err, text(t, r))
	}
	lost := r.Verdicts[0].Lost
	for _, want := range []string{"NOT PROVEN", "acknowledged and lost: " + lost.String(), "to 1999)", "by its own books the gateway has stored", "kept: " + r.Store} {
		if !strings.Contains(text(t, r), want) {
			t.Errorf("no %q in\n%s", want, text(t, r))
		}
	}
}

// lying makes links that acknowledge messages as soon as they are published, and
// pass them on only when so many more have been.
func lying(honest dialer) dialer {
	return func(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
		l, s, err := honest(ctx, o, func(e broker.Event) {
			if _, acked := e.(broker.Acked); !acked {
				events(e)
			}
		})
		return &liar{Link: l, events: events}, s, err
	}
}

type liar struct {
	broker.Link
	events func(broker.Event)
	holds  []broker.Publish
}

func (l *liar) Publish(p []broker.Publish) error {
	var acks []broker.Ack
	for i := range p {
		acks = append(acks, broker.Ack{Kind: broker.PubAck, ID: p[i].ID})
	}
	l.holds = append(l.holds, p...)
	n := max(0, len(l.holds)-held)
	pass := l.holds[:n:n]
	l.holds = l.holds[n:]
	if err := l.Link.Publish(pass); err != nil {
		return err
	}
	l.events(broker.Acked{Acks: acks})
	return nil
}

// proxied returns what reaches brokers through a proxy that serves each gateway.
func proxied(t *testing.T, serve func(front net.Conn, addr string)) func(context.Context, string) (broker.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	targets := make(chan string, 1)
	var open sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer front.Close()
				serve(front, <-targets)
			})
		}
	})
	return func(ctx context.Context, addr string) (broker.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			targets <- addr
		}
		return conn, err
	}
}

// lieTo acknowledges what one gateway publishes, and passes it on later.
func lieTo(front net.Conn, addr string) {
	back, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	var writing sync.Mutex
	answer := func(p packets.ControlPacket) error {
		writing.Lock()
		defer writing.Unlock()
		return p.Write(front)
	}
	var answering sync.WaitGroup
	defer answering.Wait()
	defer back.Close()
	answering.Go(func() {
		defer front.Close()
		for { // answers of the broker, but for those that were given already
			p, err := packets.ReadPacket(back)
			if err != nil {
				return
			}
			if _, acked := p.(*packets.PubackPacket); !acked && answer(p) != nil {
				return
			}
		}
	})
	var holds []packets.ControlPacket
	for {
		p, err := packets.ReadPacket(front)
		if err != nil {
			return
		}
		published, ok := p.(*packets.PublishPacket)
		if !ok {
			if p.Write(back) != nil {
				return
			}
			continue
		}
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = published.MessageID
		if answer(ack) != nil {
			return
		}
		if holds = append(holds, p); len(holds) > held {
			if holds[0].Write(back) != nil {
				return
			}
			holds = holds[1:]
		}
	}
}

// forget acknowledges to the broker each hundredth message for one gateway, and
// does not pass it on.
func forget(front net.Conn, addr string) {
	back, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	var writing sync.Mutex
	answer := func(p packets.ControlPacket) error {
		writing.Lock()
		defer writing.Unlock()
		return p.Write(back)
	}
	var answering sync.WaitGroup
	defer answering.Wait()
	defer back.Close()
	answering.Go(func() {
		defer front.Close()
		for {
			p, err := packets.ReadPacket(back)
			if err != nil {
				return
			}
			published, ok := p.(*packets.PublishPacket)
			if ok && kind(published.Payload[8]) == numbered && published.MessageID%100 == 0 {
				ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				ack.MessageID = published.MessageID
				err = answer(ack)
			} else {
				err = p.Write(front)
			}
			if err != nil {
				return
			}
		}
	})
	for {
		p, err := packets.ReadPacket(front)
		if err != nil || answer(p) != nil {
			return
		}
	}
}
