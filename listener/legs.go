package listener

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

// leg is a message on its way to a client, by its packet id.
type leg struct {
	seq types.Seq
	at  stage
	age uint64 // a leg that began later has a higher one
}

// stage is how far a leg is.
type stage uint8

const (
	legToAck      stage = iota // QoS 1, until PUBACK
	legAssigned                // QoS 2, not sent before the id is committed
	legToRecord                // QoS 2, until PUBREC
	legReleasing               // QoS 2, PUBREC came, which is to be committed before PUBREL
	legToComplete              // QoS 2, until PUBCOMP; the message is done
)

// legs are the messages on their way to a client, by packet id. Those of QoS 2
// are stored (S5.4).
type legs struct {
	byID  map[uint16]leg
	last  uint16
	begun uint64 // how many there were
}

// assign takes a packet id that is free; there are far more than may be on their
// way.
func (l *legs) assign(seq types.Seq, qos types.QoS) uint16 {
	for {
		l.last++
		if _, used := l.byID[l.last]; !used && l.last != 0 {
			break
		}
	}
	at := legToAck
	if qos == 2 {
		at = legAssigned
	}
	l.begin(l.last, seq, at)
	return l.last
}

func (l *legs) begin(id uint16, seq types.Seq, at stage) {
	l.begun++
	l.byID[id] = leg{seq, at, l.begun}
}

// inOrder returns the ids of the legs that are at one of these stages in the order
// in which they began, which is that of all that is sent for them [MQTT-4.6.0].
func (l *legs) inOrder(stages ...stage) []uint16 {
	ids := make([]uint16, 0, len(l.byID))
	for id, one := range l.byID {
		if slices.Contains(stages, one.at) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uint16) int { return cmp.Compare(l.byID[a].age, l.byID[b].age) })
	return ids
}

// set notes how far a leg is.
func (l *legs) set(id uint16, at stage) {
	one := l.byID[id]
	one.at = at
	l.byID[id] = one
}

// legsVersion begins the stored form of legs; then for each leg of QoS 2, in the
// order in which they began: id, and seq, or 0 once it is released; uvarints.
const legsVersion = 1

// encode returns the legs of QoS 2 as they are stored.
func (l *legs) encode() []byte {
	b := []byte{legsVersion}
	for _, id := range l.inOrder(legAssigned, legToRecord, legReleasing, legToComplete) {
		one := l.byID[id]
		if one.at == legReleasing || one.at == legToComplete {
			one.seq = 0
		}
		b = binary.AppendUvarint(b, uint64(id))
		b = binary.AppendUvarint(b, uint64(one.seq))
	}
	return b
}

// decode makes legs what was stored; nothing is what is stored of a new session.
func (l *legs) decode(b []byte) error {
	l.byID = map[uint16]leg{}
	if len(b) == 0 {
		return nil
	}
	if b[0] != legsVersion {
		return fmt.Errorf("packet ids of a session: %w: version %d", types.ErrNewerFormat, b[0])
	}
	for b = b[1:]; len(b) > 0; {
		id, n := binary.Uvarint(b)
		seq, k := binary.Uvarint(b[max(n, 0):])
		_, twice := l.byID[uint16(id)]
		if n <= 0 || k <= 0 || id == 0 || id > 65535 || twice {
			l.byID = map[uint16]leg{}
			return fmt.Errorf("packet ids of a session: %w", types.ErrCorrupt)
		}
		b = b[n+k:]
		at := legToRecord
		if seq == 0 {
			at = legToComplete
		}
		l.begin(uint16(id), types.Seq(seq), at)
		l.last = uint16(id)
	}
	return nil
}
