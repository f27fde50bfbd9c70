package listener

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// [MQTT-3.10.4-3]: what was sent before an UNSUBSCRIBE is delivered to its end, also
// if the gateway is killed meanwhile, and whether or not the client subscribes again.
func TestUnsubscribeOfWhatIsOnItsWay(t *testing.T) {
	for qos := types.QoS(1); qos <= 2; qos++ {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("QoS %d, subscribed again: %v", qos, again), func(t *testing.T) {
				h := openHouse(t, memory.New(memory.Options{}), nil)
				c := h.connectKept("c", false)
				c.subscribe("t", byte(qos))
				h.publish("t", "first", qos, false)
				first, _, _, id := c.take()
				c.send(packet(0xa2, []byte{0, 7}, str("t")))
				c.expect(packet(0xb0, []byte{0, 7}))
				if again {
					c.subscribe("t", byte(qos))
				}
				for range 2 {
					h = h.kill()
					c = h.connectKept("c", true)
					f, _, text, other := c.take()
					if f != first|8 || text != "first" || qos == 2 && other != id {
						t.Errorf("it came again as %x %d: %s", f, other, text)
					}
					id = other
				}
				c.send(ackPacket([]byte{pubackKind, pubrecKind}[qos-1], id))
				h.pending(0)
			})
		}
	}
}

// A retained value for which there is no room ends the one before it, which is old
// now [MQTT-3.3.1-7]; also for good.
func TestNoRoomForARetainedMessage(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	h.publish("v", "old", 1, true)
	large := string(make([]byte, 1<<20))
	for i := range maxRetainedBytes>>20 - 1 {
		h.publish(fmt.Sprint("large/", i), large, 1, true)
	}
	h.publish("v", "new"+large, 1, true)
	for range 2 {
		c := connectRaw(t, h.server, mqtt311, "late", "", 60)
		c.subscribe("v", 0)
		c.expectSilence()
		c.subscribe("large/0", 0)
		c.take()
		c.Close()
		h = h.kill()
	}
}

// A client may say PUBREC of what it has from before once more, as soon as it is
// back: that is no reason to send it something twice.
func TestPubrecBeforeItsMessageComesAgain(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	c := h.connectKept("c", false)
	c.subscribe("t", 2)
	for i := range 5 {
		h.publish("t", fmt.Sprint(i), 2, false)
	}
	held := map[uint16]string{}
	for range 5 {
		_, _, text, id := c.take()
		held[id] = text
	}
	h = h.kill()
	c = dialRaw(t, h.server)
	c.send(keptPacket(mqtt311, "c", 0))
	for id := range held {
		c.send(ackPacket(pubrecKind, id))
	}
	if first, body := c.read(); first != 0x20 || body[0] != 1 {
		t.Fatalf("%x %x", first, body)
	}
	h.publish("t", "last", 2, false)
	for {
		first, body := c.read()
		if first == 0x62 {
			delete(held, binary.BigEndian.Uint16(body))
			c.send(ackPacket(pubcompKind, binary.BigEndian.Uint16(body)))
			continue
		}
		id, text := binary.BigEndian.Uint16(body[3:]), string(body[5:])
		if text == "last" {
			return
		}
		if held[id] != text {
			t.Fatalf("%q came as %d, which is %q", text, id, held[id])
		}
		c.send(ackPacket(pubrecKind, id))
	}
}

// [MQTT5-3.3.2-6]: what is repeated under its packet id says what is left of its
// expiry, too.
func TestExpiryOfWhatIsRepeated(t *testing.T) {
	d := newDurable(10, mqtt5)
	d.begin(5, 7, legToRecord)
	d.restored[7] = 5
	m := types.Message{Topic: "t", Expiry: time.Minute, Properties: []byte{2, 0, 0, 0, 60}}
	d.deliver([]actors.Delivery{{Seq: 7, Message: m}}, 7, make([]bool, 1))
	d.assign(func(d *actors.Delivery) bool { return countDown(&d.Message, 20*time.Second) }, nil)
	b, _ := d.take(nil)
	if want := []byte{0x3c, 11, 0, 1, 't', 0, 5, 5, 2, 0, 0, 0, 40}; !bytes.Equal(b, want) {
		t.Errorf("%x is sent, want %x", b, want)
	}
}
