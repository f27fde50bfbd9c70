package listener

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// A client that subscribes each time it connects, and has not read what is retained
// when it is gone, does not have that stored for it as many times.
func TestRetainedMessagesDoNotPileUp(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), func(c *config.Config) { c.Local.Window = 10 })
	const topics, visits = 200, 10
	for i := range topics {
		h.publish(fmt.Sprint("r/", i), "value", 1, true)
	}
	for i := range visits {
		c := h.connectKept("c", i > 0)
		c.send(subscribePacket(mqtt311, 9, "r/#", 1))
		for first := byte(0); first != 0x90; {
			first, _ = c.read()
		}
		h.pendingFrom(topics/2, 2*topics) // it need not read anything for that
		h.hangUp(c)
	}
	c := h.connectKept("c", true)
	c.send(subscribePacket(mqtt311, 9, "r/#", 1))
	seen, copies := map[string]bool{}, 0
	for len(seen) < topics {
		first, body := c.read()
		if first == 0x90 {
			clear(seen) // all of them come behind it
			continue
		}
		n := binary.BigEndian.Uint16(body)
		seen[string(body[2:2+n])] = true
		copies++
		c.send(ackPacket(pubackKind, binary.BigEndian.Uint16(body[2+n:])))
	}
	h.pending(0)
	if copies > 2*topics {
		t.Errorf("%d copies of %d retained messages came", copies, topics)
	}
}

// A copy that was on its way at QoS 2 and is not current any more is not sent again:
// its handshake is finished, and it leaves.
func TestHandshakeOfAnOldCopy(t *testing.T) {
	d := newDurable(10, mqtt311)
	d.begin(5, 7, legToRecord)
	d.restored[7] = 5
	d.deliver([]actors.Delivery{{Seq: 7, Copy: true}, {Seq: 8}}, 8, []bool{false, false})
	replies := d.assign(func(*actors.Delivery) bool { return true }, nil)
	if want := appendAck(nil, pubrelKind, 5, 0, mqtt311); !bytes.Equal(replies, want) {
		t.Errorf("%x is sent, want %x", replies, want)
	}
	if done, _ := d.record(); !slices.Equal(done, []types.Seq{7}) {
		t.Errorf("%v are done", done)
	}
}
