package listener

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// What expires while it waits for a client is not sent; what was sent with QoS 2
// before is not sent again, and its handshake is finished, when that is committed
// [S3.5].
func TestLateMessagesOfASession(t *testing.T) {
	past, later := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	d := resumed(t, 10)
	list := deliveries(1, 8)
	for i := range list {
		list[i].Until = later
	}
	list[0].Until, list[2].Until, list[6].Until = past, past, past // 1 at QoS 1; 3, sent before; 7, which is new
	d.deliver(list, 8, make([]bool, 8))
	third := d.restored[3]
	d.assign(worthAll, nil)
	if got := fmt.Sprint(d.late()); got != "[1 3 7]" {
		t.Errorf("%s have expired", got)
	}
	d.ready.ring[d.ready.first+1].Until = past // 4, sent before, which has a place already
	d.ready.ring[d.ready.first+3].Until = past // and 6, which is new
	fourth := d.restoredIDOf(t, 4)
	_, state := d.record()
	replies := d.committed(nil)
	if want := fmt.Sprintf("%x", appendAck(nil, packets.Pubrel, third, 0, mqtt311)); state == nil || fmt.Sprintf("%x", replies) != want {
		t.Errorf("it answers %x, want %s", replies, want)
	}
	b, n := d.take(nil)
	if n != 3 {
		t.Errorf("%d are sent: %q", n, b)
	}
	if got := fmt.Sprint(d.late()); got != "[4 6]" {
		t.Errorf("%s have expired", got)
	}
	if _, state = d.record(); state == nil {
		t.Error("nothing is to be committed")
	}
	if replies, want := d.committed(nil), fmt.Sprintf("%x", appendAck(nil, packets.Pubrel, fourth, 0, mqtt311)); fmt.Sprintf("%x", replies) != want {
		t.Errorf("it answers %x, want %s", replies, want)
	}
	for id, one := range d.byID { // the others are on their way
		if one.seq == 6 || one.seq == 7 || one.seq == 1 {
			t.Errorf("id %d is still that of %d", id, one.seq)
		}
	}
}

// restoredIDOf is the id of a message that is on its way.
func (d *durable) restoredIDOf(t *testing.T, seq types.Seq) uint16 {
	t.Helper()
	for id, one := range d.byID {
		if one.seq == seq {
			return id
		}
	}
	t.Fatalf("number %d has no id", seq)
	return 0
}
