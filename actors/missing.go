package actors

import (
	"context"
	"encoding/binary"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// missing is about a session with which messages may have been in flight that damage has
// taken from the queue since. To the broker their packet ids are taken: it would not
// deliver the next message that gets one. Nobody knows which they were, so PUBREL is
// sent for all ids but those of what may be in flight and is still there, before
// anything else is sent; for an id that the broker does not know that has no effect
// [MQTT-4.3.3].
type missing struct {
	quarantined uint64              // messages that the queue has lost to damage so far
	ids         map[uint16]struct{} // nil: nothing is missing
}

// findMissing compares what the queue has lost with what it had when that was dealt
// with last, as the marks of the session say. before is what may have been in flight: it
// is read, for damage may not be noticed before.
func (a *attempt) findMissing(ctx context.Context, marks []persistence.Mark, before windows) missing {
	q := a.config.Queue
	there := make(map[uint16]bool)
	for read, after := 0, types.Seq(0); before.exact > 0 && read < before.all; {
		f, err := Ask(ctx, q.Ref, func(r Reply[Fetched]) QueueMessage {
			return Fetch{After: after, Limit: persistence.Limit{Records: before.all - read, Bytes: clearBytes}, Reply: r}
		})
		if err != nil { // that is no reason to be without a link; the next one finds out
			return missing{}
		}
		for i := range f.Records {
			there[packetID(f.Records[i].Seq)] = true
		}
		read += len(f.Records)
		if after = f.Through; after >= f.Last {
			break
		}
	}
	m := missing{quarantined: q.State().Counters.Left[types.Quarantined]}
	if m.quarantined == quarantinedBy(marks) || before.exact == 0 {
		return m
	}
	m.ids = make(map[uint16]struct{}, packetIDs)
	for id := uint16(1); id <= packetIDs; id++ {
		if !there[id] {
			m.ids[id] = struct{}{}
		}
	}
	return m
}

// settleMissing has what is missing be owed: see reserving.
func (c *connection) settleMissing(m missing) {
	c.owed, c.missing = nil, m
	if len(m.ids) > 0 && c.session.Present {
		c.owed, c.oldest = m.ids, packetID(c.config.Queue.State().Floor)
		c.config.Logger.Warn("damage has taken messages that may have been in flight: their handshakes are finished first", "ids", len(m.ids))
		return
	}
	c.noteMissing()
}

// noteMissing records that what was missing is dealt with, once nothing is owed.
func (c *connection) noteMissing() {
	m := c.missing
	if len(c.owed) > 0 || m.ids == nil {
		return
	}
	c.missing = missing{}
	c.config.Session.Tell(Note{Marks: []persistence.Mark{quarantinedMark(m.quarantined)}, Reply: func(Noted, error) {}}) // without it that is done once more
}

// quarantinedMark notes how many messages the queue had lost to damage.
func quarantinedMark(n uint64) persistence.Mark {
	return persistence.Mark{Key: markQuarantined, Value: binary.AppendUvarint(nil, n)}
}

// quarantinedBy is what marks say of that; 0 if nothing.
func quarantinedBy(marks []persistence.Mark) uint64 {
	for _, m := range marks {
		if n, used := binary.Uvarint(m.Value); m.Key == markQuarantined && used > 0 {
			return n
		}
	}
	return 0
}
