package listener

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

// leg is a message on its way to a client, by its packet id.
type leg struct {
	seq types.Seq
	at  stage
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
	byID map[uint16]leg
	last uint16
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
	l.byID[l.last] = leg{seq, at}
	return l.last
}

// set notes how far a leg is.
func (l *legs) set(id uint16, at stage) {
	one := l.byID[id]
	one.at = at
	l.byID[id] = one
}

// legsVersion begins the stored form of legs; then for each leg of QoS 2, in
// order of ids: id − the one before, and seq, or 0 once it is released; uvarints.
const legsVersion = 1

// encode returns the legs of QoS 2 as they are stored.
func (l *legs) encode() []byte {
	ids := make([]uint16, 0, len(l.byID))
	for id, one := range l.byID {
		if one.at != legToAck {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	b, before := []byte{legsVersion}, uint16(0)
	for _, id := range ids {
		one := l.byID[id]
		if one.at == legReleasing || one.at == legToComplete {
			one.seq = 0
		}
		b = binary.AppendUvarint(b, uint64(id-before))
		b = binary.AppendUvarint(b, uint64(one.seq))
		before = id
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
	b = b[1:]
	id := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		seq, k := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || k <= 0 || gap == 0 || gap > 65535-id {
			l.byID = map[uint16]leg{}
			return fmt.Errorf("packet ids of a session: %w", types.ErrCorrupt)
		}
		b = b[n+k:]
		id += gap
		one := leg{types.Seq(seq), legToRecord}
		if seq == 0 {
			one.at = legToComplete
		}
		l.byID[uint16(id)] = one
		l.last = max(l.last, uint16(id))
	}
	return nil
}
