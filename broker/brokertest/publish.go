package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

func qos0(t *testing.T, h Harness) {
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("t", 0)
	pub.publish(7, message("t", 0, "one"), message("t", 0, "two"))
	pub.written(8)
	in := sub.received(2)
	for i, want := range []string{"one", "two"} {
		if got := in[i]; string(got.Message.Payload) != want || got.ID != 0 || got.Kind != broker.Message {
			t.Errorf("message %d: %+v, want %q", i, got, want)
		}
	}
}

func withheld(t *testing.T, h Harness) {
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("t", 0)
	past, later := time.Now().Add(-time.Millisecond), time.Now().Add(time.Hour)
	pub.must(pub.Publish([]broker.Publish{
		{Tag: 1, ID: 1, Message: message("t", 1, "late"), Until: past},
		{Tag: 2, ID: 2, Message: message("t", 1, "in time"), Until: later},
		{Tag: 3, Message: message("t", 0, "late"), Until: past},
		{Tag: 4, Message: message("t", 0, "any time")},
		{Tag: 5, ID: 5, Message: message("t", 2, "late"), Until: past},
	}))
	pub.must(pub.Publish([]broker.Publish{{Tag: 6, ID: 6, Message: message("t", 1, "late"), Until: past}}))
	pub.publish(7, message("t", 1, "last"))
	same(t, pub.acks(2), []broker.Ack{{Kind: broker.PubAck, ID: 2}, {Kind: broker.PubAck, ID: 7}})
	pub.written(4)
	for i, want := range []string{"in time", "any time", "last"} {
		if got := string(sub.received(3)[i].Message.Payload); got != want {
			t.Errorf("message %d is %q, want %q", i, got, want)
		}
	}
	var tags []uint64
	pub.until("what is withheld", func(events []broker.Event) bool {
		tags = nil
		for _, e := range events {
			switch e := e.(type) {
			case broker.Withheld:
				tags = append(tags, e.Tags...)
			case broker.Written:
				if e.Tag >= 4 && len(tags) < 2 {
					t.Errorf("%d were withheld before %d was written", len(tags), e.Tag)
				}
			}
		}
		return len(tags) >= 4
	})
	if want := []uint64{1, 3, 5, 6}; !slices.Equal(tags, want) {
		t.Errorf("%v were withheld, want %v", tags, want)
	}
}

func qos1(t *testing.T, h Harness) {
	const n = 500
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("t/+", 0) // so that the window to the subscriber is not the test
	for i := 1; i <= n; i++ {
		pub.publish(i, message(fmt.Sprintf("t/%d", i%3), 1, "%d", i))
	}
	for i, a := range pub.acks(n) {
		if want := (broker.Ack{Kind: broker.PubAck, ID: uint16(i + 1)}); a != want {
			t.Fatalf("acknowledgement %d: %+v, want %+v", i, a, want)
		}
	}
	for i, in := range sub.received(n) {
		if want := fmt.Sprint(i + 1); string(in.Message.Payload) != want {
			t.Fatalf("message %d: %q, want %q", i, in.Message.Payload, want)
		}
	}
}

func qos2(t *testing.T, h Harness) {
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("t", 0)
	pub.publish(10, message("t", 2, "a"), message("t", 2, "b"))
	want := []broker.Ack{{Kind: broker.PubRec, ID: 10}, {Kind: broker.PubRec, ID: 11}}
	same(t, pub.acks(2), want)
	pub.must(pub.Release([]uint16{10, 11}))
	same(t, pub.acks(4)[2:], []broker.Ack{{Kind: broker.PubComp, ID: 10}, {Kind: broker.PubComp, ID: 11}})
	if in := sub.received(2); string(in[0].Message.Payload) != "a" || string(in[1].Message.Payload) != "b" {
		t.Errorf("received %+v", in)
	}
}

func qos2Again(t *testing.T, h Harness) {
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("t", 0)
	once := message("t", 2, "once")
	pub.must(pub.Publish([]broker.Publish{{ID: 5, Message: once}, {ID: 5, Dup: true, Message: once}}))
	same(t, pub.acks(2), []broker.Ack{{Kind: broker.PubRec, ID: 5}, {Kind: broker.PubRec, ID: 5}})
	pub.must(pub.Release([]uint16{5}))
	pub.acks(3)
	pub.must(pub.Release([]uint16{5})) // harmless, and answered
	same(t, pub.acks(4)[2:], []broker.Ack{{Kind: broker.PubComp, ID: 5}, {Kind: broker.PubComp, ID: 5}})
	pub.publish(1, message("t", 1, "end"))
	in := sub.received(2)
	if string(in[0].Message.Payload) != "once" || string(in[1].Message.Payload) != "end" {
		t.Errorf("received %+v", in)
	}
}

func qos2OtherLink(t *testing.T, h Harness) {
	sub := h.clean(t, "sub")
	sub.subscribe("t", 0)
	first := h.dial(t, h.options("pub"))
	first.publish(5, message("t", 2, "once"))
	same(t, first.acks(1), []broker.Ack{{Kind: broker.PubRec, ID: 5}})
	first.Close(false)
	first.down()
	second := h.dial(t, h.options("pub"))
	if !second.session.Present {
		t.Fatal("the broker has lost the session")
	}
	second.must(second.Publish([]broker.Publish{{ID: 5, Dup: true, Message: message("t", 2, "once")}}))
	same(t, second.acks(1), []broker.Ack{{Kind: broker.PubRec, ID: 5}})
	second.must(second.Release([]uint16{5}))
	same(t, second.acks(2)[1:], []broker.Ack{{Kind: broker.PubComp, ID: 5}})
	second.publish(6, message("t", 1, "end"))
	in := sub.received(2)
	if string(in[0].Message.Payload) != "once" || string(in[1].Message.Payload) != "end" {
		t.Errorf("received %+v", in)
	}
}

func payloads(t *testing.T, h Harness) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	messages := []types.Message{
		{Topic: "p/empty", QoS: 1, Payload: nil},
		{Topic: "p/every", QoS: 1, Payload: every},
		{Topic: "p/ключ/鍵/🔑", QoS: 1, Payload: []byte("UTF-8")},
		{Topic: "p/" + strings.Repeat("long", 5000), QoS: 1, Payload: []byte("a long topic")},
		{Topic: "p/large", QoS: 1, Payload: bytes.Repeat(every, 512)},
		{Topic: "p/empty/0", QoS: 0, Payload: nil},
		{Topic: "p//", QoS: 1, Payload: []byte{0}},
	}
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("p/#", 1)
	pub.publish(1, messages...)
	for i, in := range sub.received(len(messages)) {
		want := messages[i]
		if in.Message.Topic != want.Topic || !bytes.Equal(in.Message.Payload, want.Payload) || in.Message.QoS != want.QoS {
			t.Errorf("message %d: %q with %d bytes at QoS %d", i, in.Message.Topic, len(in.Message.Payload), in.Message.QoS)
		}
	}
}

func invalid(t *testing.T, h Harness) {
	sub, pub := h.clean(t, "sub"), h.clean(t, "pub")
	sub.subscribe("#", 0)
	good := broker.Publish{ID: 1, Message: message("good", 1, "must not be sent")}
	tests := []struct {
		name string
		bad  broker.Publish
		is   error
	}{
		{"QoS 3", broker.Publish{ID: 2, Message: message("t", 3, "")}, types.ErrInvalidMessage},
		{"QoS 1 without an id", broker.Publish{Message: message("t", 1, "")}, types.ErrInvalidMessage},
		{"QoS 0 with an id", broker.Publish{ID: 2, Message: message("t", 0, "")}, types.ErrInvalidMessage},
		{"QoS 0 with DUP", broker.Publish{Dup: true, Message: message("t", 0, "")}, types.ErrInvalidMessage},
		{"no topic", broker.Publish{Message: message("", 0, "")}, types.ErrInvalidTopic},
		{"a wildcard", broker.Publish{Message: message("a/#", 0, "")}, types.ErrInvalidTopic},
		{"a NUL", broker.Publish{Message: message("a\x00", 0, "")}, types.ErrInvalidTopic},
		{"bad UTF-8", broker.Publish{Message: message("a\xff", 0, "")}, types.ErrInvalidTopic},
		{"a topic of 70,000 bytes", broker.Publish{Message: message(strings.Repeat("t", 70000), 0, "")}, types.ErrInvalidTopic},
	}
	for _, test := range tests {
		if err := pub.Publish([]broker.Publish{good, test.bad}); !errors.Is(err, test.is) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for what, err := range map[string]error{
		"release 0":                  pub.Release([]uint16{1, 0}),
		"acknowledge 0":              pub.Acknowledge([]broker.Ack{{Kind: broker.PubAck}}),
		"acknowledge nothing known":  pub.Acknowledge([]broker.Ack{{Kind: 9, ID: 1}}),
		"subscribe with id 0":        pub.Subscribe(0, []broker.Filter{{Topic: "a"}}),
		"subscribe to nothing":       pub.Subscribe(1, nil),
		"subscribe to a bad filter":  pub.Subscribe(1, []broker.Filter{{Topic: "a#"}}),
		"subscribe with QoS 3":       pub.Subscribe(1, []broker.Filter{{Topic: "a", QoS: 3}}),
		"unsubscribe with id 0":      pub.Unsubscribe(0, []string{"a"}),
		"unsubscribe from nothing":   pub.Unsubscribe(1, nil),
		"unsubscribe a bad filter":   pub.Unsubscribe(1, []string{"a\x00"}),
		"subscribe to a long filter": pub.Subscribe(1, []broker.Filter{{Topic: strings.Repeat("t", 70000)}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	pub.must(pub.Publish(nil)) // nothing is not wrong
	pub.publish(9, message("end", 1, ""))
	pub.acks(1)
	if in := sub.received(1); in[0].Message.Topic != "end" {
		t.Errorf("%q was sent although the call failed", in[0].Message.Topic)
	}
}

func same(t *testing.T, got, want []broker.Ack) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("acknowledgements %v, want %v", got, want)
	}
}
