package listener

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// expiring is a message with properties that expires.
func expiring(topic string, seconds byte) types.Message {
	return types.Message{
		Topic: topic, Payload: []byte("v"), QoS: 1, Expiry: time.Duration(seconds) * time.Second,
		Properties: []byte{38, 0, 1, 'k', 0, 1, 'v', 2, 0, 0, 0, seconds}, // a user property, and the expiry
	}
}

// A retained message has what is left of its expiry when it comes, and does not
// come when nothing is [MQTT5-3.3.2-5], [MQTT5-3.3.2-6].
func TestRetainedExpiryCountsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all topics
		m := expiring("r", 60)
		m.Retain = true
		all.route(&m, nil)
		get := func() *types.Message {
			list, _ := all.retainedFor("r", time.Now())
			if len(list) == 0 {
				return nil
			}
			return &list[0]
		}
		if got := get(); !bytes.Equal(got.Properties, m.Properties) {
			t.Errorf("at once: %x", got.Properties)
		}
		time.Sleep(50 * time.Second)
		if got := get(); got.Expiry != 10*time.Second || !bytes.Contains(got.Properties, []byte{2, 0, 0, 0, 10}) || !bytes.Contains(got.Properties, []byte{38, 0, 1, 'k', 0, 1, 'v'}) {
			t.Errorf("after 50 s: %v, %x", got.Expiry, got.Properties)
		}
		time.Sleep(10 * time.Second)
		if got := get(); got != nil {
			t.Errorf("after 60 s: %+v", got)
		}
		if m.Expiry != time.Minute || !bytes.Contains(m.Properties, []byte{2, 0, 0, 0, 60}) {
			t.Error("the message itself was changed")
		}
	})
}

// So has one that waits for a client that reads slowly.
func TestWaitingExpiryCountsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := outgoing{version: mqtt5, window: 1, flight: map[uint16]flight{}}
		for _, seconds := range []byte{100, 20, 60} {
			m := expiring("t", seconds)
			out.offer(offered{message: &m, qos: 1, since: time.Now()})
		}
		if _, n := out.take(nil); n != 1 {
			t.Fatalf("%d left at once, want as many as the window has", n)
		}
		time.Sleep(50 * time.Second)
		out.acked(pubackKind, 1, 0)
		b, n := out.take(nil)
		if n != 1 || !bytes.Contains(b, []byte{2, 0, 0, 0, 10}) {
			t.Errorf("%d left: %x", n, b)
		}
		if out.queue.len() > 0 || out.waiting != 0 {
			t.Errorf("%d are left with %d bytes", out.queue.len(), out.waiting)
		}
	})
}

// The properties of a message come to subscribers of version 5 as they were
// sent, and to others not at all, whoever publishes.
func TestPropertiesAreGivenOn(t *testing.T) {
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink})
	subscribers := map[byte]*rawClient{}
	for _, version := range []byte{mqtt31, mqtt311, mqtt5} {
		subscribers[version] = connectRaw(t, s, version, string('a'+rune(version)), "", 60)
		subscribers[version].subscribe("t", 1)
	}
	for i, version := range []byte{mqtt31, mqtt311, mqtt5} {
		c := connectRaw(t, s, version, "publisher", "", 60)
		m := types.Message{Topic: "t", Payload: []byte{byte(i)}}
		if version == mqtt5 {
			m.Properties = []byte{1, 1, 3, 0, 1, 'j', 8, 0, 1, 'r', 9, 0, 2, 0xFF, 0, 38, 0, 1, 'k', 0, 1, 'v', 38, 0, 1, 'k', 0, 1, 'w'}
		}
		c.send(appendPublish(nil, &m, 1, 7, false, version))
		c.expect(appendAck(nil, pubackKind, 7, 0, version))
		if got := sink.count(t, i+1)[i].message; !bytes.Equal(got.Properties, m.Properties) {
			t.Errorf("stored with %x", got.Properties)
		}
		for to, sub := range subscribers {
			got, _ := sub.message()
			want := m.Properties
			if to != mqtt5 {
				want = nil
			}
			if !bytes.Equal(got.Properties, want) || !bytes.Equal(got.Payload, m.Payload) {
				t.Errorf("from %d to %d: %x %x", version, to, got.Properties, got.Payload)
			}
		}
	}
}

// A client of version 5 gets no more at once than it said, and none that is
// larger than it said.
func TestLimitsOfAClient(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := dialRaw(t, s)
	c.version = mqtt5
	c.send(packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 8, 33, 0, 2, 39, 0, 0, 0, 50}, str("c"))) // 2 messages, 50 bytes
	c.read()
	c.subscribe("t", 1)
	for _, payload := range []string{"1", "2", string(make([]byte, 60)), "3", "4"} {
		s.Deliver(types.Message{Topic: "t", Payload: []byte(payload), QoS: 1})
	}
	var ids [2]byte
	for i := range ids {
		_, body := c.read()
		ids[i] = body[4]
	}
	c.expectSilence()
	c.send(ackPacket(pubackKind, uint16(ids[0])))
	if _, body := c.read(); string(body[len(body)-1:]) != "3" {
		t.Errorf("got %x", body)
	}
	c.expectSilence()
	if n := s.Stats().Dropped; n != 1 {
		t.Errorf("%d dropped", n)
	}
}

// A subscription that is older than what its user may read brings nothing that
// he may not read, live or retained.
func TestOldSubscription(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}, Users: sensorAndReader(t)})
	c := login(t, s, mqtt311, "c", "reader", "other", "")
	s.mu.Lock()
	session := s.sessions[sessionKey((*s.users.Load())["reader"], "c")]
	s.mu.Unlock()
	old := request{filter: "#", qos: 1}
	s.topics.subscribe(session, old)
	s.Deliver(types.Message{Topic: "secret", Payload: []byte("v"), QoS: 1, Retain: true})
	s.topics.replay(session, old)
	s.Deliver(types.Message{Topic: "sensors/1", Payload: []byte("v"), QoS: 1})
	if m, _ := c.message(); m.Topic != "sensors/1" {
		t.Errorf("%s was delivered", m.Topic)
	}
	c.expectSilence()
}
