package actors

import (
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// ackLink notes what is acknowledged.
type ackLink struct {
	broker.Link
	acks   chan []broker.Ack
	closed chan struct{}
}

func newAckLink() *ackLink {
	return &ackLink{acks: make(chan []broker.Ack, 10), closed: make(chan struct{}, 10)}
}

func (l *ackLink) Acknowledge(a []broker.Ack) error { l.acks <- slices.Clone(a); return nil }
func (l *ackLink) Close(bool)                       { l.closed <- struct{}{} }

func TestInbound(t *testing.T) {
	message := func(qos types.QoS, id uint16, dup bool, payload string) broker.Inbound {
		return broker.Inbound{ID: id, Dup: dup, Message: types.Message{Topic: "t", QoS: qos, Payload: []byte(payload)}}
	}
	release := func(id uint16) broker.Inbound { return broker.Inbound{Kind: broker.Release, ID: id} }
	ack := func(kind broker.AckKind, id uint16) broker.Ack { return broker.Ack{Kind: kind, ID: id} }
	tests := []struct {
		name    string
		packets []broker.Inbound
		handled string
		acks    []broker.Ack
	}{
		{"QoS 0 is not acknowledged", []broker.Inbound{message(0, 0, false, "a"), message(1, 1, false, "b")}, "ab", []broker.Ack{ack(broker.PubAck, 1)}},
		{"one batch, in order", []broker.Inbound{message(1, 1, false, "a"), message(2, 2, false, "b"), message(1, 3, false, "c")}, "abc",
			[]broker.Ack{ack(broker.PubAck, 1), ack(broker.PubRec, 2), ack(broker.PubAck, 3)}},
		{"QoS 1 comes as often as it comes", []broker.Inbound{message(1, 1, false, "a"), message(1, 1, true, "a")}, "aa",
			[]broker.Ack{ack(broker.PubAck, 1), ack(broker.PubAck, 1)}},
		{"QoS 2 comes once", []broker.Inbound{message(2, 1, false, "a"), message(2, 1, true, "a"), release(1)}, "a",
			[]broker.Ack{ack(broker.PubRec, 1), ack(broker.PubRec, 1), ack(broker.PubComp, 1)}},
		{"after PUBREL the id is free", []broker.Inbound{message(2, 1, false, "a"), release(1), message(2, 1, true, "b")}, "ab",
			[]broker.Ack{ack(broker.PubRec, 1), ack(broker.PubComp, 1), ack(broker.PubRec, 1)}},
		{"without DUP it is a new one", []broker.Inbound{message(2, 1, false, "a"), message(2, 1, false, "b")}, "ab",
			[]broker.Ack{ack(broker.PubRec, 1), ack(broker.PubRec, 1)}},
		{"a PUBREL of something unknown", []broker.Inbound{release(9)}, "", []broker.Ack{ack(broker.PubComp, 9)}},
		{"oversized is acknowledged [S4.5]", []broker.Inbound{{Kind: broker.Oversized, ID: 4, Message: types.Message{QoS: 1}, Size: 1 << 30}}, "",
			[]broker.Ack{ack(broker.PubAck, 4)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			handled := ""
			in, err := SpawnInbound(newTestSystem(t), InboundConfig{Name: "in", Deliver: func(m types.Message) { handled += string(m.Payload) }})
			if err != nil {
				t.Fatal(err)
			}
			l := newAckLink()
			in.Tell(Linked{Link: l, Present: false})
			in.Tell(Arrived{l, test.packets})
			if acks := receive(t, l.acks, "acknowledgements"); !slices.Equal(acks, test.acks) {
				t.Errorf("acknowledged %v, want %v", acks, test.acks)
			}
			stop(t, in.Ref)
			if handled != test.handled {
				t.Errorf("handled %q, want %q", handled, test.handled)
			}
		})
	}
}

// What open ids there are is remembered when the actor fails, and forgotten with
// the session.
func TestInboundSession(t *testing.T) {
	handled := make(chan string, 10)
	in, err := SpawnInbound(newTestSystem(t), InboundConfig{Name: "in", Deliver: func(m types.Message) { handled <- string(m.Payload) }})
	if err != nil {
		t.Fatal(err)
	}
	l := newAckLink()
	again := []broker.Inbound{{ID: 1, Dup: true, Message: types.Message{QoS: 2, Payload: []byte("a")}}}
	in.Tell(Arrived{l, again})
	receive(t, handled, "the first one")
	in.Kill()
	in.Tell(Linked{Link: l, Present: true})
	in.Tell(Arrived{l, again})
	in.Tell(Linked{Link: l, Present: false})
	in.Tell(Arrived{l, again})
	receive(t, handled, "the one of another session")
	stop(t, in.Ref)
	if len(handled) > 0 || in.Repeated() != 1 {
		t.Errorf("%d more were handled, %d were repeats; want 0 and 1", len(handled), in.Repeated())
	}
}

// A handler that fails: nothing of that batch is acknowledged, and the link is
// closed so that the broker sends it again.
func TestInboundHandlerThatPanics(t *testing.T) {
	in, err := SpawnInbound(newTestSystem(t), InboundConfig{Name: "in", Deliver: func(types.Message) { panic("a bug") }})
	if err != nil {
		t.Fatal(err)
	}
	l := newAckLink()
	in.Tell(Arrived{l, []broker.Inbound{{ID: 1, Message: types.Message{QoS: 1}}}})
	receive(t, l.closed, "the end of the link")
	stop(t, in.Ref)
	if len(l.acks) > 0 {
		t.Error("it was acknowledged")
	}
}
