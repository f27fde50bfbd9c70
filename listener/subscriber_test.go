package listener

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// A local subscriber gets what is published locally, with the smaller of both
// QoS, after the commit; and what comes from upstream.
func TestFanOut(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink})
	pub := connectRaw(t, s, mqtt311, "pub", "", 60)
	for subQoS := byte(0); subQoS <= 2; subQoS++ {
		for pubQoS := types.QoS(0); pubQoS <= 2; pubQoS++ {
			t.Run(fmt.Sprintf("%d to %d", pubQoS, subQoS), func(t *testing.T) {
				sub := connectRaw(t, s, mqtt311, "sub", "", 60)
				sub.subscribe("a/+", subQoS)
				sub.subscribe("a/#", 0) // overlaps: one copy, the highest QoS
				id := uint16(pubQoS)
				pub.publish("a/b", "x", pubQoS, id, false)
				sink.until(t, "arrival", func() bool { return len(sink.held) == 1 })
				sub.expectSilence()
				sink.release(nil)
				m, subID := sub.message()
				if m.QoS != min(pubQoS, types.QoS(subQoS)) || m.Topic != "a/b" || m.Retain {
					t.Errorf("got %+v", m)
				}
				if m.QoS == 2 {
					sub.send(ackPacket(pubrecKind, subID))
					sub.expect(appendAck(nil, pubrelKind, subID, 0, mqtt311))
					sub.send(ackPacket(pubcompKind, subID))
				}
				s.Deliver(types.Message{Topic: "a/up", Payload: []byte("y"), QoS: 1})
				if m, _ := sub.message(); m.Topic != "a/up" {
					t.Errorf("got %+v", m)
				}
				sub.expectSilence()
				switch pubQoS {
				case 1:
					pub.expect(ackPacket(pubackKind, id))
				case 2:
					pub.expect(ackPacket(pubrecKind, id))
					pub.send(ackPacket(pubrelKind, id))
					pub.expect(ackPacket(pubcompKind, id))
				}
			})
		}
	}
}

// The packet ids of both directions have nothing to do with each other.
func TestCollidingIDs(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "both", "", 60)
	c.subscribe("in", 2)
	s.Deliver(types.Message{Topic: "in", QoS: 2})
	s.Deliver(types.Message{Topic: "in", QoS: 1})
	_, first := c.message()
	_, second := c.message() // acknowledged by message
	c.publish("out", "mine", 2, first, false)
	c.publish("out", "mine", 1, second, false)
	sink.count(t, 2)
	sink.release(nil)
	c.expect(ackPacket(pubrecKind, first), ackPacket(pubackKind, second))
	c.send(ackPacket(pubrecKind, first))
	c.expect(appendAck(nil, pubrelKind, first, 0, mqtt311))
	c.send(ackPacket(pubrelKind, first), ackPacket(pubcompKind, first))
	c.expect(ackPacket(pubcompKind, first))
	c.expectSilence()
}

func TestUnsubscribe(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt5, "c", "", 60)
	c.subscribe("a", 1)
	c.send(packet(0xA2, []byte{0, 3, 0}, str("a"), str("b")))
	c.expect(packet(0xB0, []byte{0, 3, 0, 0, 0x11}))
	s.Deliver(types.Message{Topic: "a", QoS: 1})
	c.expectSilence()
}

// Filters that cannot be granted are refused one by one.
func TestSubscribeCodes(t *testing.T) {
	deep := strings.Repeat("x/", types.MaxLevels)
	body := []byte{0, 3}
	for _, filter := range []string{"a", "a/#/b", "a+", "", deep, "$share/g/a"} {
		body = append(append(body, str(filter)...), 1)
	}
	s, _ := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.send(packet(0x82, body))
	c.expect(packet(0x90, []byte{0, 3, 1, 0x80, 0x80, 0x80, 0x80, 0x80}))
	five := connectRaw(t, s, mqtt5, "five", "", 60)
	five.send(packet(0x82, body[:2], []byte{0}, body[2:]))
	five.expect(packet(0x90, []byte{0, 3, 0, 1, 0x8F, 0x8F, 0x8F, 0x8F, 0x9E}))
}

// Options of MQTT 5: no local, retain as published, retain handling.
func TestSubscriptionOptions(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt5, "c", "", 60)
	retained := types.Message{Topic: "r", Payload: []byte("v"), QoS: 1, Retain: true, Properties: []byte{1, 1}}
	s.Deliver(retained)

	suback := packet(0x90, []byte{0, 9, 0, 1})
	c.send(subscribePacket(mqtt5, 9, "r", 1|2<<4)) // never
	c.expect(suback)
	c.expectSilence()
	c.send(subscribePacket(mqtt5, 9, "r", 1|1<<4)) // not for a known one
	c.expect(suback)
	c.expectSilence()
	c.send(subscribePacket(mqtt5, 9, "r", 1|1<<3)) // always, and as published
	c.expect(suback)
	for range 2 {
		m, _ := c.message()
		if !m.Retain || string(m.Properties) != "\x01\x01" {
			t.Errorf("got %+v", m)
		}
		s.Deliver(retained)
	}
	c.message()
	c.send(subscribePacket(mqtt5, 9, "own", 1|1<<2)) // not what it publishes itself
	c.expect(suback)
	c.publish("own", "x", 0, 0, false)
	s.Deliver(types.Message{Topic: "own"})
	c.message()
	c.expectSilence()
}

// [MQTT-3.3.1-5..10]
func TestRetained(t *testing.T) {
	sink := &testSink{}
	s, log := start(t, Options{Sink: sink})
	pub := connectRaw(t, s, mqtt311, "pub", "", 60)
	live := connectRaw(t, s, mqtt311, "live", "", 60)
	live.subscribe("#", 1)
	pub.send(
		publishPacket(mqtt311, "r/1", []byte("old"), 1, 1, false, true),
		publishPacket(mqtt311, "r/1", []byte("new"), 1, 2, false, true),
		publishPacket(mqtt311, "r/2", []byte("gone"), 1, 3, false, true),
		publishPacket(mqtt311, "r/2", nil, 1, 4, false, true),
		publishPacket(mqtt311, "r/3", []byte("live"), 1, 5, false, false),
	)
	for _, want := range []string{"old", "new", "gone", "", "live"} {
		if m, _ := live.message(); string(m.Payload) != want || m.Retain {
			t.Errorf("got %+v, want %q", m, want)
		}
	}
	late := connectRaw(t, s, mqtt311, "late", "", 60)
	late.subscribe("r/#", 0)
	if m, _ := late.message(); string(m.Payload) != "new" || !m.Retain || m.QoS != 0 {
		t.Errorf("got %+v", m)
	}
	late.expectSilence()
	if all := sink.count(t, 5); !all[0].message.Retain || all[4].message.Retain {
		t.Error("the Sink did not get the retain flag as it was")
	}

	// Bounds: what does not fit is delivered, not kept, and said once.
	for i := range maxRetained + 10 {
		s.Deliver(types.Message{Topic: fmt.Sprint("many/", i), Payload: []byte("x"), Retain: true})
	}
	if st := s.Stats(); st.Retained != maxRetained {
		t.Errorf("%d retained", st.Retained)
	}
	if n := log.count("not kept"); n != 1 {
		t.Errorf("%d log lines", n)
	}
	// Whoever subscribes to all gets all, however many wait for it.
	all := connectRaw(t, s, mqtt311, "all", "", 60)
	all.subscribe("#", 1)
	for range maxRetained {
		all.message()
	}
	all.expectSilence()
}

// A subscriber that does not read slows down nobody: at QoS 0 it misses
// messages, at QoS 1 it is disconnected.
func TestSubscriberThatDoesNotRead(t *testing.T) {
	const others, messages = 8, 3000
	sink := &testSink{}
	s, log := start(t, Options{Sink: sink})
	stuck := connectRaw(t, s, mqtt311, "stuck", "", 0)
	stuck.Conn.(*net.TCPConn).SetReadBuffer(4096)
	stuck.subscribe("t/#", 0)
	stuckToo := connectRaw(t, s, mqtt311, "stuck too", "", 0)
	stuckToo.Conn.(*net.TCPConn).SetReadBuffer(4096)
	stuckToo.subscribe("t/#", 1)

	payload := make([]byte, 4000)
	var all sync.WaitGroup
	for i := range others {
		c := connectRaw(t, s, mqtt311, fmt.Sprint("other ", i), "", 60)
		topic := fmt.Sprint("t/", i)
		c.subscribe(topic, 1)
		all.Go(func() {
			for n := range messages { // window 1, through its own subscription
				c.send(publishPacket(mqtt311, topic, payload, 1, uint16(n+1), false, false))
				for range 2 {
					first, body := c.read()
					if first>>4 == 3 {
						id := body[2+len(topic) : 4+len(topic)]
						c.send([]byte{0x40, 2, id[0], id[1]})
					}
				}
			}
		})
	}
	all.Wait() // it never ends if one is held up
	log.wait(t, `client="stuck too" reason="it reads too slowly`)
	until(t, s, "all is acknowledged", func(st Stats) bool { return st.Acked == others*messages && st.Dropped > 0 })
	if n := s.Stats().Clients; n != others+1 {
		t.Errorf("%d clients are connected, want all but one", n)
	}
	if log.count("client=stuck reason") > 0 {
		t.Error("the subscriber at QoS 0 was disconnected")
	}
}

// Whoever has read SUBACK gets everything that is published from then on.
func TestNothingIsMissedAfterSuback(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	for i := range 500 {
		topic := fmt.Sprint("t/", i)
		c.subscribe(topic, 0)
		s.Deliver(types.Message{Topic: topic})
		if m, _ := c.message(); m.Topic != topic {
			t.Fatalf("got %+v", m)
		}
	}
}
