package listener

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

const (
	pubackKind  = 4
	pubrecKind  = 5
	pubrelKind  = 6
	pubcompKind = 7
)

// S5.1: the acknowledgement follows the commit, in the order of arrival, and
// those that are due together come in one write.
func TestAcknowledgementFollowsCommit(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.publish("t", "1", 1, 11, false)
	c.publish("t", "2", 2, 12, false)
	c.publish("t", "3", 1, 13, false)
	all := sink.count(t, 3)
	c.expectSilence()
	all[2].done(nil) // settled out of order, answered in order
	c.expectSilence()
	all[0].done(nil)
	c.expect(ackPacket(pubackKind, 11))
	c.expectSilence()
	all[1].done(nil)
	c.expect(ackPacket(pubrecKind, 12), ackPacket(pubackKind, 13))
	if all[0].origin != (types.Origin{Source: "client:c"}) || all[1].origin != (types.Origin{Source: "client:c", ID: 12}) {
		t.Errorf("origins %v, %v", all[0].origin, all[1].origin)
	}
	sink.set(func() { sink.held = nil })
}

// S5.2: a DUP of a QoS 1 publish that is not answered is not stored again; once
// it was answered, or without DUP, it is a message of its own.
func TestRepeatOfUnansweredPublish(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.publish("t", "a", 1, 7, false)
	c.publish("t", "a", 1, 7, true) // not stored
	c.expectSilence()
	sink.count(t, 1)
	sink.release(nil)
	c.expect(ackPacket(pubackKind, 7))
	c.expectSilence()

	c.publish("t", "a", 1, 7, true) // answered before: stored
	sink.count(t, 2)
	c.publish("t", "b", 1, 7, false) // no DUP: stored
	sink.count(t, 3)
	sink.release(nil)
	c.expect(ackPacket(pubackKind, 7), ackPacket(pubackKind, 7))
	c.expectSilence()
}

// A QoS 2 id is remembered until PUBREL: repeats are answered, not stored
// [MQTT-4.3.3].
func TestQoS2(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	rec, comp := ackPacket(pubrecKind, 5), ackPacket(pubcompKind, 5)

	c.publish("t", "a", 2, 5, false)
	c.publish("t", "a", 2, 5, true)
	c.send(ackPacket(pubrelKind, 5)) // before PUBREC: cannot mean this message
	c.expectSilence()
	sink.count(t, 1)
	sink.release(nil)
	c.expect(rec)
	c.publish("t", "a", 2, 5, true)  // answered again
	c.publish("t", "a", 2, 5, false) // the same content: a repeat as well
	c.expect(rec, rec)
	c.send(ackPacket(pubrelKind, 5))
	c.expect(comp)
	c.send(ackPacket(pubrelKind, 5)) // a repeat of PUBREL
	c.expect(comp)
	sink.count(t, 1)

	c.publish("t", "a", 2, 5, false) // the id is free: a new message
	sink.count(t, 2)
	// S2.1: without DUP and with another content it takes the id over. The one
	// before it gets no PUBREC, which would be taken for this one's.
	c.publish("t", "b", 2, 5, false)
	all := sink.count(t, 3)
	all[1].done(nil)
	c.expectSilence()
	all[2].done(nil)
	c.expect(rec)
	c.expectSilence()
	sink.set(func() { sink.held = nil })
}

// What the Sink reports as an error is never acknowledged to a client of 3.1.1,
// unless sending it again would not help.
func TestStoreErrors(t *testing.T) {
	trouble := errors.New("disk on fire")
	tests := []struct {
		name    string
		version byte
		qos     types.QoS
		err     error
		code    int    // answered with this; -1: closed without an answer
		reason  string // counted as
	}{
		{"3.1.1 trouble", mqtt311, 1, trouble, -1, "not_stored"},
		{"3.1.1 trouble, QoS 2", mqtt311, 2, trouble, -1, "not_stored"},
		{"3.1.1 full", mqtt311, 1, types.ErrQueueFull, -1, "full"},
		{"3.1.1 never", mqtt311, 1, fmt.Errorf("x: %w", types.ErrInvalidTopic), 0, "invalid"},
		{"5 trouble", mqtt5, 1, trouble, 0x80, "not_stored"},
		{"5 trouble, QoS 2", mqtt5, 2, trouble, 0x80, "not_stored"},
		{"5 full", mqtt5, 1, types.ErrQueueFull, 0x97, "full"},
		{"5 never", mqtt5, 1, types.ErrTooLarge, 0x97, "too_large"},
		{"QoS 0", mqtt311, 0, trouble, -2, "not_stored"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sink := &testSink{err: test.err}
			s, log := start(t, Options{Sink: sink})
			c := connectRaw(t, s, test.version, "c", "", 60)
			id := uint16(3)
			if test.qos == 0 {
				id = 0
			}
			c.publish("t", "x", test.qos, id, false)
			kind := byte(pubackKind)
			if test.qos == 2 {
				kind = pubrecKind
			}
			switch test.code {
			case -1:
				if first, body := c.expectClosed(); first != 0 {
					t.Errorf("got packet %x %x", first, body)
				}
				log.wait(t, "could not be stored")
			case -2:
				c.expectSilence()
			default:
				c.expect(appendAck(nil, kind, id, byte(test.code), test.version))
				c.expectSilence()
			}
			if got := s.Stats().Refused[test.reason]; got != 1 {
				t.Errorf("refused %v", s.Stats().Refused)
			}
			if got := s.Stats().Delivered; got != 0 {
				t.Errorf("%d delivered", got)
			}
		})
	}
}

// Topics of ours and payloads above the limit are acknowledged and counted, and
// never reach the Sink (S4.5, S5.3).
func TestRefusedMessages(t *testing.T) {
	sink := &testSink{}
	s, log := start(t, Options{Sink: sink, MaxMessageSize: 1000})
	c := connectRaw(t, s, mqtt311, "three", "", 60)
	large := make([]byte, 1001)
	for i := range 3 {
		c.send(publishPacket(mqtt311, "big", large, 1, uint16(i+1), false, false))
		c.expect(ackPacket(pubackKind, uint16(i+1)))
	}
	c.send(publishPacket(mqtt311, "$SYS/x", nil, 1, 4, false, false), publishPacket(mqtt311, "$mqttdb", nil, 2, 5, false, false))
	c.expect(ackPacket(pubackKind, 4), ackPacket(pubrecKind, 5))
	c.send(publishPacket(mqtt311, "big", large, 0, 0, false, false))
	c.send(publishPacket(mqtt311, "fits", large[:1000], 1, 6, false, false))
	c.expect(ackPacket(pubackKind, 6))

	five := connectRaw(t, s, mqtt5, "five", "", 60)
	five.send(publishPacket(mqtt5, "big", large, 1, 1, false, false), publishPacket(mqtt5, "$SYS", nil, 2, 2, false, false))
	five.expect(appendAck(nil, pubackKind, 1, 0x97, mqtt5), appendAck(nil, pubrecKind, 2, 0x87, mqtt5))
	five.send(publishPacket(mqtt5, "$SYSx", nil, 2, 2, false, false)) // not ours
	five.expect(ackPacket(pubrecKind, 2))

	if all := sink.count(t, 2); all[0].message.Topic != "fits" || all[1].message.Topic != "$SYSx" {
		t.Errorf("stored %v", all)
	}
	if r := s.Stats().Refused; r["too_large"] != 5 || r["not_allowed"] != 3 {
		t.Errorf("refused %v", r)
	}
	if n := log.count("message refused"); n != 2 {
		t.Errorf("%d log lines, want one per client and minute", n)
	}
}

// [MQTT-4.6.0-2]: what comes after a message that could not be stored is not
// acknowledged, what came before it is; the client sends the rest again, in
// order.
func TestNothingIsAcknowledgedBehindAFailure(t *testing.T) {
	sink := &testSink{hold: true}
	s, log := start(t, Options{Sink: sink, ReceiveMax: 3})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	for i := range 4 {
		c.publish("t", fmt.Sprint(i), types.QoS(1+i/2), uint16(i+1), false)
	}
	c.expectSilence()
	all := sink.count(t, 3)
	all[1].done(errors.New("disk on fire"))
	all[2].done(nil)
	all[0].done(nil)
	c.expect(ackPacket(pubackKind, 1))
	if first, body := c.expectClosed(); first != 0 {
		t.Errorf("got %x %x", first, body)
	}
	log.wait(t, "could not be stored")
	sink.count(t, 3) // the fourth was not handed over any more
}
