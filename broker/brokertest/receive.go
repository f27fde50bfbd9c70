package brokertest

import (
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

func subscriptions(t *testing.T, h Harness) {
	c := h.clean(t, "client")
	c.must(c.Subscribe(1, []broker.Filter{{Topic: "a", QoS: 0}, {Topic: "b/+", QoS: 1}, {Topic: "c/#", QoS: 2}}))
	c.until("SUBACK", func(events []broker.Event) bool {
		s, ok := last[broker.Subscribed](events)
		return ok && s.ID == 1 && string(s.Codes) == "\x00\x01\x02"
	})
	c.must(c.Unsubscribe(2, []string{"a", "never asked for"}))
	c.until("UNSUBACK", func(events []broker.Event) bool {
		u, ok := last[broker.Unsubscribed](events)
		return ok && u.ID == 2
	})
	c.publish(3, message("a", 1, "not for us any more"), message("b/x", 1, "for us"))
	if in := c.received(1); in[0].Message.Topic != "b/x" {
		t.Errorf("received %+v", in[0])
	}
}

func last[E broker.Event](events []broker.Event) (e E, ok bool) {
	for i := len(events) - 1; i >= 0 && !ok; i-- {
		e, ok = events[i].(E)
	}
	return e, ok
}

func retained(t *testing.T, h Harness) {
	pub := h.clean(t, "pub")
	kept := message("kept", 1, "value")
	kept.Retain = true
	pub.publish(1, kept)
	pub.acks(1)
	sub := h.clean(t, "sub")
	sub.subscribe("kept", 1)
	if in := sub.received(1); !in[0].Message.Retain || string(in[0].Message.Payload) != "value" {
		t.Errorf("the retained message: %+v", in[0])
	}
	pub.publish(2, kept)
	if in := sub.received(2); in[1].Message.Retain {
		t.Errorf("a live message says that it was retained [MQTT-3.3.1-9]")
	}
}

func receivedQoS2(t *testing.T, h Harness) {
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("t", 2)
	pub.publish(1, message("t", 2, "exactly"))
	pub.acks(1)
	pub.must(pub.Release([]uint16{1}))
	in := sub.received(1)[0]
	if in.Kind != broker.Message || in.Message.QoS != 2 || in.ID == 0 || in.Dup {
		t.Fatalf("received %+v", in)
	}
	sub.must(sub.Acknowledge([]broker.Ack{{Kind: broker.PubRec, ID: in.ID}}))
	if rel := sub.received(2)[1]; rel.Kind != broker.Release || rel.ID != in.ID {
		t.Fatalf("received %+v", rel)
	}
	sub.must(sub.Acknowledge([]broker.Ack{{Kind: broker.PubComp, ID: in.ID}}))
	pub.publish(2, message("t", 1, "end"))
	if end := sub.received(3)[2]; string(end.Message.Payload) != "end" {
		t.Errorf("received %+v", end)
	}
}

func receivedAgain(t *testing.T, h Harness) {
	pub := h.clean(t, "pub")
	first := h.dial(t, h.options("sub"))
	first.subscribe("t", 2)
	pub.publish(1, message("t", 1, "once more"), message("t", 2, "half done"))
	pub.acks(2)
	pub.must(pub.Release([]uint16{2}))
	in := first.received(2)
	first.must(first.Acknowledge([]broker.Ack{{Kind: broker.PubRec, ID: in[1].ID}}))
	first.received(3)
	first.Close(false)
	first.down()

	second := h.dial(t, h.options("sub"))
	var message, release bool
	for _, again := range second.received(2) {
		switch {
		case again.Kind == broker.Message && again.ID == in[0].ID && again.Dup && string(again.Message.Payload) == "once more":
			message = true
		case again.Kind == broker.Release && again.ID == in[1].ID:
			release = true
		default:
			t.Errorf("received %+v", again)
		}
	}
	if !message || !release {
		t.Errorf("message %v, release %v came again", message, release)
	}
}

func oversized(t *testing.T, h Harness) {
	o := h.options("sub")
	o.MaxPacket, o.MaxPayload = 1000, 500
	sub, pub := h.dial(t, o), h.clean(t, "pub")
	sub.subscribe("t/#", 1)
	const size = 100_000
	large := types.Message{Topic: "t/large", QoS: 1, Payload: make([]byte, size)}
	fits := types.Message{Topic: "t/fits", QoS: 1, Payload: make([]byte, 500)}
	above := types.Message{Topic: "t/above", QoS: 1, Payload: make([]byte, 501)}
	pub.publish(1, message("t/small", 1, "before"), large, message("t/small", 1, "after"), fits, above)
	in := sub.received(5)
	if string(in[0].Message.Payload) != "before" || string(in[2].Message.Payload) != "after" || len(in[3].Message.Payload) != 500 {
		t.Errorf("around it: %+v, %+v and %+v", in[0], in[2], in[3])
	}
	if p := in[4]; p.Kind != broker.Oversized || p.Size != 501 || p.ID == 0 || p.Message.Topic != above.Topic || p.Message.Payload != nil {
		t.Errorf("with too large a payload: %+v", p)
	}
	past := in[1]
	if past.Kind != broker.Oversized || past.ID == 0 || past.Size != size || past.Message.Topic != large.Topic || past.Message.QoS != 1 || past.Message.Payload != nil {
		t.Errorf("what was read past: %+v", past)
	}
	sub.must(sub.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: past.ID}}))
}

func bothWays(t *testing.T, h Harness) {
	const n = 300
	c := h.clean(t, "client")
	c.subscribe("t", 1)
	answered := 0
	for i := 1; i <= n; i++ {
		c.publish(i, message("t", 1, "%d", i))
		if i%10 != 0 {
			continue
		}
		for _, in := range c.received(i)[answered:] {
			c.must(c.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: in.ID}}))
			answered++
		}
	}
	for i, in := range c.received(n) {
		if want := fmt.Sprint(i + 1); string(in.Message.Payload) != want {
			t.Fatalf("message %d: %q, want %q", i, in.Message.Payload, want)
		}
	}
	for i, a := range c.acks(n) {
		if a.ID != uint16(i+1) {
			t.Fatalf("acknowledgement %d is for %d", i, a.ID)
		}
	}
}
