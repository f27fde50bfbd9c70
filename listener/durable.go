package listener

import (
	"context"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Sessions keep what clients are to get that want their session kept: a
// *runtime.Runtime.
type Sessions interface {
	// OpenSession finds or makes the session of a client.
	OpenSession(ctx context.Context, o runtime.SessionOptions) (*runtime.Session, error)

	// EndSession ends the session of a client, if there is one.
	EndSession(ctx context.Context, clientID string) error

	// Release ends exchanges at QoS 2 in which a client with a session has
	// published, under these packet ids. done is called once, from any goroutine,
	// when that is committed: known says which ids were in use. It does not block.
	Release(clientID string, ids []uint16, done func(known []bool, err error))

	// EndExchanges ends all of them: what is given to the Sink after it is a new
	// message, whatever it looks like. It does not block.
	EndExchanges(clientID string)

	// SessionExpiry is how long a session is kept whose client asks for d, 0 for
	// as long as possible.
	SessionExpiry(d time.Duration) time.Duration

	// SessionWindow is how many messages may be on their way to a session.
	SessionWindow() int
}

// durable is what a session that is kept is to be sent at QoS 1 and 2: it reads
// that from the store, a little ahead, and says there what was acknowledged. The
// session's lock guards it.
//
//	waiting ──assign──▶ ready ──commit, at QoS 2──▶ sent … done
type durable struct {
	stored  *runtime.Session
	window  int // QoS 1 and 2 messages on their way
	version byte

	legs
	restored map[types.Seq]uint16 // the ids of QoS 2 messages that were sent before and did not come again yet
	waiting  fifo[actors.Delivery]
	ready    fifo[departure]
	through  types.Seq // nothing but what waits is for the client up to here
	taken    types.Seq // the last message that does not wait any more

	done       []types.Seq // acknowledged, and not told to the store
	expired    []types.Seq // before they were sent, or sent again; not told to the store
	doneStrict []types.Seq // the same as done, but only with the state that frees their ids
	unsaved    []uint16    // the legs that wait for a commit, in order
	committing []uint16    // and those that wait for the one under way
	busy       bool        // a commit is under way
	left       bool        // the session was given back: nothing of it is sent any more

	// From when a SUBSCRIBE came until all that is retained for it has come, newer
	// holds the topics on which something newer came.
	copying bool      // it is being stored for this session
	copied  types.Seq // the last of it
	newer   map[string]bool

	// Of what is retained for a filter, by filter: the first number of what was
	// stored last, which takes the place of all copies before.
	replaced   types.Tree[types.Seq]
	replacedTo types.Seq // the highest of those numbers
}

// departure is a delivery with its packet id.
type departure struct {
	actors.Delivery
	id  uint16
	dup bool
}

func newDurable(window int, version byte) *durable {
	return &durable{window: window, version: version, legs: legs{byID: map[uint16]leg{}}, restored: map[types.Seq]uint16{}}
}

// resume goes on with what was on its way before, and appends the PUBRELs that
// are due to replies.
func (d *durable) resume(s *runtime.Session, replies []byte) ([]byte, error) {
	d.stored = s
	err := d.decode(s.State)
	for _, id := range d.inOrder(legToComplete) {
		replies = appendAck(replies, packets.Pubrel, id, 0, d.version)
	}
	for _, id := range d.inOrder(legToRecord) {
		d.restored[d.byID[id].seq] = id
	}
	return replies, err
}

// assign gives packet ids to what waits, as the window has room. worth says
// whether a message is to be sent at all; it may change it.
func (d *durable) assign(worth func(*actors.Delivery) bool, replies []byte) []byte {
	for d.waiting.len() > 0 {
		next := d.waiting.front()
		replies = d.abandonBelow(next.Seq, replies)
		id, sent := d.restored[next.Seq]
		if len(d.byID)-len(d.restored) >= d.window {
			return replies // in order: what is behind it waits too
		}
		d.waiting.pop()
		d.taken = next.Seq
		switch late := isLate(&next); {
		case sent && late: // it is not published again, its handshake is finished [S3.5]
			delete(d.restored, next.Seq)
			d.abandon(id)
			d.expired = append(d.expired, next.Seq)
		case late:
			d.expired = append(d.expired, next.Seq)
		case sent: // whatever it is worth: its handshake is under way [MQTT-4.4.0-1]
			worth(&next)
			delete(d.restored, next.Seq)
			next.Message.QoS = 2
			d.ready.push(departure{next, id, true})
		case !worth(&next):
			d.done = append(d.done, next.Seq)
		default:
			id = d.legs.assign(next.Seq, next.Message.QoS)
			if next.Message.QoS == 2 {
				d.unsaved = append(d.unsaved, id)
			}
			d.ready.push(departure{next, id, next.Redelivered && next.Message.QoS == 1})
		}
	}
	return d.abandonBelow(d.through+1, replies)
}

// abandonBelow finishes the handshakes of messages that are not in the store any
// more: they are not sent again [S3.5].
func (d *durable) abandonBelow(seq types.Seq, replies []byte) []byte {
	if len(d.restored) == 0 {
		return replies
	}
	for _, id := range d.inOrder(legToRecord) {
		if s := d.byID[id].seq; s < seq && d.restored[s] == id {
			delete(d.restored, s)
			d.set(id, legToComplete)
			replies = appendAck(replies, packets.Pubrel, id, 0, d.version)
		}
	}
	return replies
}

// take appends what may leave now, and returns it with the number of messages.
func (d *durable) take(b []byte) ([]byte, int) {
	n := 0
	for !d.left && d.ready.len() > 0 && len(b) < maxJoined {
		next := d.ready.front()
		if d.byID[next.id].at == legAssigned {
			break
		}
		d.ready.pop()
		if isLate(&next.Delivery) && d.withhold(&next) {
			continue
		}
		start := len(b)
		m := &next.Message
		b = appendPublish(b, m, m.QoS, next.id, next.Copy || m.Retain && next.KeepRetain, d.version)
		if next.dup {
			b[start] |= 8 // [MQTT-3.3.1-1]
		}
		n++
	}
	return b, n
}

// isLate says whether a message has expired.
func isLate(d *actors.Delivery) bool { return !d.Until.IsZero() && !time.Now().Before(d.Until) }

// withhold has a message that was ready not sent after all, and says whether that can
// be.
func (d *durable) withhold(next *departure) bool {
	one, known := d.byID[next.id]
	switch {
	case !known || one.seq != next.Seq:
		return false
	case next.Message.QoS == 2 && next.dup:
		d.abandon(next.id)
	default: // the client has never heard of it
		delete(d.byID, next.id)
	}
	d.expired = append(d.expired, next.Seq)
	return true
}

// abandon finishes the handshake of a message that was sent with QoS 2 before: PUBREL
// follows when that is committed.
func (d *durable) abandon(id uint16) {
	d.set(id, legReleasing)
	d.unsaved = append(d.unsaved, id)
}

// late says what has expired and is to be told to the store.
func (d *durable) late() (expired []types.Seq) {
	expired, d.expired = d.expired, nil
	return expired
}

// acked takes a PUBACK, PUBREC or PUBCOMP. What does not fit is ignored.
func (d *durable) acked(kind byte, id uint16, code byte, replies []byte) []byte {
	one, known := d.byID[id]
	switch kind {
	case packets.Puback:
		if known && one.at == legToAck {
			delete(d.byID, id)
			d.done = append(d.done, one.seq)
		}
	case packets.Pubrec:
		switch {
		case !known:
			return appendAck(replies, packets.Pubrel, id, codeUnknownID, d.version)
		case d.restored[one.seq] == id:
			// It repeats what it said on an earlier connection. The message is to come
			// from the store once more, and is repeated under its id: then it counts.
		case one.at == legToRecord && code >= codeUnspecified:
			delete(d.byID, id) // it is done with this one [MQTT5-4.3.3]
			d.done = append(d.done, one.seq)
		case one.at == legToRecord:
			d.set(id, legReleasing)
			d.doneStrict = append(d.doneStrict, one.seq)
			d.unsaved = append(d.unsaved, id) // its PUBREL goes out in this order [MQTT-4.6.0-4]
		case one.at == legToComplete:
			return appendAck(replies, packets.Pubrel, id, 0, d.version)
		}
	case packets.Pubcomp:
		if known && one.at == legToComplete {
			delete(d.byID, id) // if that is not stored, it is released once more
		}
	}
	return replies
}

// record says what is to be told to the store: with a state it is to be committed,
// and then committed is to be called.
func (d *durable) record() (done []types.Seq, state []byte) {
	done, d.done = d.done, nil
	if len(d.unsaved) == 0 || d.busy {
		return done, nil
	}
	d.busy = true
	d.committing, d.unsaved = d.unsaved, d.committing[:0]
	done = append(done, d.doneStrict...)
	d.doneStrict = nil
	return done, d.encode()
}

// leave says what is to be told to the store before the session is given back:
// ids that were assigned and not committed were not used, nor will they be.
func (d *durable) leave() (done []types.Seq, state []byte) {
	d.left = true
	for id, one := range d.byID {
		if one.at == legAssigned {
			delete(d.byID, id)
		}
	}
	return append(d.done, d.doneStrict...), d.encode()
}

// committed lets go on what waited for the commit, and appends PUBRELs to
// replies.
func (d *durable) committed(replies []byte) []byte {
	if d.left {
		return replies
	}
	d.busy = false
	for _, id := range d.committing {
		switch d.byID[id].at {
		case legAssigned:
			d.set(id, legToRecord)
		case legReleasing:
			d.set(id, legToComplete)
			replies = appendAck(replies, packets.Pubrel, id, 0, d.version)
		}
	}
	d.committing = d.committing[:0]
	return replies
}

// deliver takes what the store has for the client. isCurrent says whether a
// retained message is still the one of its topic.
func (d *durable) deliver(list []actors.Delivery, through types.Seq, isCurrent []bool) {
	for i := range list {
		m := &list[i]
		if m.Copy {
			if !isCurrent[i] || d.newer[m.Message.Topic] || d.isReplaced(m) {
				d.done = append(d.done, m.Seq) // abandonBelow ends it if it was sent before
				continue
			}
		} else if m.Message.Retain && (d.copying || m.Seq < d.copied) {
			if d.newer == nil {
				d.newer = map[string]bool{}
			}
			d.newer[m.Message.Topic] = true
		}
		d.waiting.push(*m)
	}
	d.through = max(d.through, through)
	d.endCopying(d.copying, d.copied)
	if d.replacedTo > 0 && d.through >= d.replacedTo {
		d.replaced, d.replacedTo = types.Tree[types.Seq]{}, 0
	}
}

// recall forgets what waits and returns the last message that does not. What is
// still in the store comes again.
func (d *durable) recall() types.Seq {
	d.waiting = fifo[actors.Delivery]{}
	d.through = min(d.through, d.taken)
	return d.taken
}
