package actors

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// reserving is for an outgoing queue that does not outlive the process, beside a
// session that does. The packet ids of what it has in flight are taken after that,
// and nothing knows of what: so the mark of the session says, in steps, which
// numbers may be in flight with QoS 2. Another process has PUBREL sent for all of
// them, and begins when the broker has answered [S3.4].
type reserving struct {
	learned bool                // what an earlier process had reserved is known
	owed    map[uint16]struct{} // packet ids whose PUBCOMP is to come before anything is sent
	oldest  uint16              // the first one of those
	upTo    types.Seq           // reserved up to here, synced
	missing missing             // whose packet ids are owed
}

// reserveStep is how many numbers are reserved at once.
const reserveStep = 1000

// apart says whether the session is kept in another queue than the messages.
func (c *connection) apart() bool { return c.config.Session != c.config.Queue }

// linkedApart is for a link to a session that is kept apart.
func (r *reserving) linkedApart(m result) {
	if m.renewed {
		r.upTo = 0 // its mark was written anew
	}
	if !r.learned {
		r.learned, r.owed, r.oldest = true, make(map[uint16]struct{}), packetID(m.reserved.First)
		for seq := m.reserved.First; seq <= m.reserved.Last && seq > 0 && len(r.owed) < packetIDs; seq++ {
			r.owed[packetID(seq)] = struct{}{}
		}
	}
	if !m.session.Present {
		r.owed = nil
	}
}

// settleOwed sends PUBREL for what an earlier process may have had in flight.
func (c *connection) settleOwed() {
	if len(c.owed) == 0 {
		return
	}
	ids := c.inOrder()
	c.config.Logger.Info("handshakes of an earlier process are finished first", "ids", len(ids))
	c.release(ids)
}

// inOrder lists what is owed as it was sent: a broker may deliver upon PUBREL.
func (r *reserving) inOrder() []uint16 {
	age := func(id uint16) int { return (int(id) - int(r.oldest) + packetIDs) % packetIDs }
	return slices.SortedFunc(maps.Keys(r.owed), func(a, b uint16) int { return age(a) - age(b) })
}

// owes takes a PUBCOMP of what is owed, and says whether it is one.
func (r *reserving) owes(id uint16) bool {
	_, owed := r.owed[id]
	delete(r.owed, id)
	return owed
}

// mayUse says whether a number is reserved; else it asks for that, once.
func (c *connection) mayUse(seq types.Seq) bool {
	if !c.apart() || seq <= c.upTo {
		return true
	}
	if !c.reservingMore {
		c.reservingMore = true
		wanted := persistence.Range{First: c.config.Queue.State().Floor + 1, Last: seq + reserveStep}
		self, attempt := c.self, c.attempt
		c.config.Session.Tell(Note{Marks: []persistence.Mark{reservedMark(wanted)}, Sync: true, Reply: func(_ Noted, err error) {
			self.Tell(reserved{attempt, wanted.Last, err})
		}})
	}
	return false
}

func (c *connection) reserved(m reserved) {
	if m.attempt != c.attempt {
		return
	}
	c.reservingMore = false
	if m.err != nil {
		c.config.Logger.Warn("packet ids cannot be reserved, connecting anew", "error", m.err)
		c.hangUp(false)
		c.retry(types.Backoff, m.err)
		return
	}
	c.upTo = max(c.upTo, m.upTo)
}

// reservedMark notes which numbers may be in flight.
func reservedMark(r persistence.Range) persistence.Mark {
	return persistence.Mark{Key: markReserved, Value: binary.AppendUvarint(binary.AppendUvarint(nil, uint64(r.First)), uint64(r.Last))}
}

// reservedBy is what marks say of that; the zero Range if nothing.
func reservedBy(marks []persistence.Mark) persistence.Range {
	for _, m := range marks {
		if m.Key != markReserved {
			continue
		}
		first, n := binary.Uvarint(m.Value)
		last, k := binary.Uvarint(m.Value[max(n, 0):])
		if n > 0 && k > 0 && first > 0 && first <= last {
			return persistence.Range{First: types.Seq(first), Last: types.Seq(last)}
		}
	}
	return persistence.Range{}
}
