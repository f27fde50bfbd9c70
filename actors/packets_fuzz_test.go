package actors

import (
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Whatever lies under the keys of packet ids, reading it ends, no id is both open and
// a tombstone, and what happens then is recorded as it is known.
func FuzzPackets(f *testing.F) {
	hash := hashOf(&types.Message{Topic: "t"})
	f.Add("packet/0001", append([]byte{packetOpen}, hash[:]...), []byte{0, 2, 3, 0})
	f.Add("packet/ffff", append([]byte{packetDone}, hash[:]...), []byte{4, 2, 2, 1, 5})
	f.Add("packet/last", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []byte{})
	f.Add("packet/00001", []byte{packetOpen}, []byte{0, 1})
	f.Add("packet/+001", append([]byte{3}, hash[:]...), []byte{1})
	f.Fuzz(func(t *testing.T, key string, value, happens []byte) {
		p, recorded := packets{most: 2}, map[string][]byte{}
		record := func(marks []persistence.Mark) {
			for _, m := range marks {
				if recorded[m.Key] = m.Value; len(m.Value) == 0 {
					delete(recorded, m.Key)
				}
			}
		}
		p.load([]persistence.Mark{{Key: key, Value: value}})
		for id, known := range p.known {
			recorded[packetKey(id)] = known.mark(id).Value
		}
		for _, b := range happens {
			id := uint16(b >> 3)
			switch b & 7 {
			case 0:
				record(p.begin(true))
			case 1:
				record(p.begin(false))
			case 2, 3:
				record(p.released(id))
			case 4:
				if !p.repeats(id, true, hash) {
					record([]persistence.Mark{p.begun(id, hash)})
				}
			default:
				record(p.fresh(id))
				record([]persistence.Mark{p.begun(id, hash)})
			}
		}
		open := 0
		for id, known := range p.known {
			if known.open {
				open++
			}
			if len(recorded[packetKey(id)]) == 0 {
				t.Errorf("id %d is known and not recorded", id)
			}
		}
		if len(recorded) != len(p.known) || open != p.open {
			t.Errorf("%d recorded, %d known, %d open, counted %d", len(recorded), len(p.known), open, p.open)
		}
	})
}
