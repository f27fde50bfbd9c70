//go:build !js

package prove

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// broken is a broker that answers SUBSCRIBE as it is told, and takes down what is
// acknowledged.
type broken struct {
	answer broker.Event
	events func(broker.Event)
	acks   []broker.Ack
}

func (b *broken) dial(_ context.Context, _ broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	b.events = events
	return b, broker.Session{}, nil
}

func (b *broken) Subscribe(uint16, []broker.Filter) error {
	b.events(b.answer)
	return nil
}

func (b *broken) Acknowledge(acks []broker.Ack) error {
	b.acks = append(b.acks, acks...)
	return nil
}

func (b *broken) Publish([]broker.Publish) error     { return errors.ErrUnsupported }
func (b *broken) Release([]uint16) error             { return errors.ErrUnsupported }
func (b *broken) Unsubscribe(uint16, []string) error { return errors.ErrUnsupported }
func (b *broken) Close(bool)                         {}

// A broker that does not let us subscribe is told apart from one that does.
func TestSubscriptions(t *testing.T) {
	tests := []struct {
		name   string
		answer broker.Event
		says   string
	}{
		{"granted", broker.Subscribed{ID: 1, Codes: []byte{2}}, ""},
		{"refused", broker.Subscribed{ID: 1, Codes: []byte{0x80}}, "the broker does not let this user subscribe to t: allow that"},
		{"granted less", broker.Subscribed{ID: 1, Codes: []byte{1}}, "the broker grants QoS 1 at most to subscribers"},
		{"the link is ended", broker.Down{}, "the broker ended the link when we subscribed to t: allow that"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := subscriber{dial: (&broken{answer: test.answer}).dial, filter: broker.Filter{Topic: "t", QoS: 2}}
			err := s.join(t.Context())
			var no *UnfitError
			if test.says == "" && err != nil || test.says != "" && (!errors.As(err, &no) || !strings.Contains(no.Reason, test.says)) {
				t.Errorf("%v, want %s", err, test.says)
			}
		})
	}
}

// The subscriber does what a client has to: it acknowledges everything, takes a QoS 2
// message once however often it comes before its PUBREL, and tells of a DUP at QoS 1.
func TestSubscriberTakesEachMessageOnce(t *testing.T) {
	b := &broken{answer: broker.Subscribed{ID: 1, Codes: []byte{2}}}
	var got []string
	s := subscriber{dial: b.dial, filter: broker.Filter{Topic: "t", QoS: 2}, delivered: func(m *types.Message, again bool) {
		text := string(m.Payload)
		if again {
			text += " again"
		}
		got = append(got, text)
	}}
	if err := s.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	message := func(id uint16, qos types.QoS, payload string, dup bool) broker.Inbound {
		return broker.Inbound{ID: id, Dup: dup, Message: types.Message{Topic: "t", QoS: qos, Payload: []byte(payload)}}
	}
	err := s.receive([]broker.Inbound{
		message(0, 0, "a", false), message(1, 1, "b", false), message(1, 1, "b", true),
		message(2, 2, "c", false), message(2, 2, "c", true), {Kind: broker.Release, ID: 2}, message(2, 2, "d", false),
	})
	if want := []string{"a", "b", "b again", "c", "d"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %q, want %q", err, got, want)
	}
	acks := []broker.Ack{{Kind: broker.PubAck, ID: 1}, {Kind: broker.PubAck, ID: 1}, {Kind: broker.PubRec, ID: 2}, {Kind: broker.PubRec, ID: 2}, {Kind: broker.PubComp, ID: 2}, {Kind: broker.PubRec, ID: 2}}
	if !slices.Equal(b.acks, acks) {
		t.Errorf("acknowledged %v, want %v", b.acks, acks)
	}
}
