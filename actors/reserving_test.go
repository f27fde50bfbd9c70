package actors

import (
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What an earlier process may have had in flight gets PUBREL in the order in which
// it was sent, also where packet ids begin anew: a broker may deliver upon PUBREL
// [MQTT-4.6.0-4].
func TestOwedHandshakesKeepTheOrder(t *testing.T) {
	const first, last = packetIDs - 500, packetIDs + 500
	var r reserving
	r.linkedApart(result{session: broker.Session{Present: true}, reserved: persistence.Range{First: first, Last: last}})
	ids := r.inOrder()
	if len(ids) != last-first+1 {
		t.Fatalf("%d ids", len(ids))
	}
	for i, id := range ids {
		if want := packetID(first + types.Seq(i)); id != want {
			t.Fatalf("number %d is %d, want %d", i, id, want)
		}
	}
}
