package listener

import (
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// resumed is a session of which the message 1 at QoS 1 and 2 to 4 at QoS 2 were
// sent before.
func resumed(t *testing.T, window int) *durable {
	t.Helper()
	before := newDurable(4, mqtt311)
	before.deliver(deliveries(1, 4), 4, make([]bool, 4))
	before.assign(worthAll, nil)
	_, state := before.record()
	before.committed(nil)
	if _, n := before.take(nil); n != 4 {
		t.Fatalf("%d were sent", n)
	}
	d := newDurable(window, mqtt311)
	if replies, err := d.resume(&runtime.Session{State: state}, nil); err != nil || len(replies) > 0 {
		t.Fatal(replies, err)
	}
	return d
}

// deliveries are the messages first to last, of which 1 has QoS 1.
func deliveries(first, last types.Seq) (list []actors.Delivery) {
	for seq := first; seq <= last; seq++ {
		m := types.Message{Topic: "t", Payload: fmt.Appendf(nil, "%d", seq), QoS: 2}
		if seq == 1 {
			m.QoS = 1
		}
		list = append(list, actors.Delivery{Seq: seq, Message: m, Redelivered: true})
	}
	return list
}

func worthAll(*actors.Delivery) bool { return true }

// sent are the payloads of what leaves now, in order, with the ids.
func (d *durable) sent(t *testing.T) (ids []uint16, texts string) {
	t.Helper()
	if replies := d.assign(worthAll, nil); len(replies) > 0 {
		t.Fatalf("a handshake was given up: %x", replies)
	}
	if _, state := d.record(); state != nil {
		d.committed(nil)
	}
	b, _ := d.take(nil)
	for len(b) > 0 {
		n := int(b[1])
		ids, texts = append(ids, uint16(b[5])<<8|uint16(b[6])), texts+string(b[7:2+n])
		b = b[2+n:]
	}
	return ids, texts
}

// A client that allows fewer messages on their way than before gets all the same
// what was on its way, in order.
func TestSmallerWindowAfterResuming(t *testing.T) {
	d := resumed(t, 2)
	d.deliver(deliveries(1, 4), 4, make([]bool, 4))
	got := ""
	for range 4 {
		ids, texts := d.sent(t)
		if got += texts; len(texts) > 2 {
			t.Errorf("%d messages at once", len(texts))
		}
		for i, id := range ids {
			if texts[i] == '1' {
				d.acked(packets.Puback, id, 0, nil)
				continue
			}
			d.acked(packets.Pubrec, id, 0, nil)
			if _, state := d.record(); state != nil {
				d.committed(nil)
			}
			d.acked(packets.Pubcomp, id, 0, nil)
		}
	}
	if got != "1234" {
		t.Errorf("sent %q, want 1234", got)
	}
}

// S3.5: a clearing does not end the handshakes of what it only made us forget for
// the moment.
func TestRecallWhileResuming(t *testing.T) {
	d := resumed(t, 4)
	was := fmt.Sprint(d.restored)
	d.deliver(deliveries(1, 4), 4, make([]bool, 4))
	if last := d.recall(); last != 0 {
		t.Errorf("%d was kept", last)
	}
	if ids, _ := d.sent(t); len(ids) > 0 || fmt.Sprint(d.restored) != was {
		t.Errorf("sent %v; to come again %v, want %s", ids, d.restored, was)
	}
	d.deliver(deliveries(1, 4), 4, make([]bool, 4))
	if _, texts := d.sent(t); texts != "1234" {
		t.Errorf("sent %q, want 1234", texts)
	}
}
