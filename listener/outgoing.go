package listener

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

const (
	// Of live messages, so many bytes may wait for a client that reads too
	// slowly; each also counts for what it takes beside its content.
	maxWaiting  = 4 << 20
	besideBytes = 96

	// So many retained messages may wait for a client; they take no memory of
	// their own. Twice what is retained at most, so that whoever subscribes to
	// everything gets everything.
	maxWaitingKept = 2 * maxRetained

	// deliveryWindow is how many QoS 1 and 2 messages may be on their way to a
	// client [MQTT5-4.9]; a client of version 5 may say less. It is large,
	// because nothing is kept for those on their way but the id.
	deliveryWindow = 1000

	// maxReplies is how many bytes of answers may wait for a client that does
	// not read; then no more is read from it.
	maxReplies = 64 << 10

	// maxJoined is about how much is written at once, in bytes.
	maxJoined = 64 << 10
)

// offered is a message for a subscriber.
type offered struct {
	message *types.Message
	qos     types.QoS
	retain  bool
	kept    bool      // it is one of the retained messages
	since   time.Time // of one that expires: from when on its expiry counts
}

// outgoing is what a client is to be sent. The session's lock guards it.
type outgoing struct {
	version   byte
	window    int // QoS 1 and 2 messages on their way
	maxPacket int // 0: any

	replies []byte // encoded
	queue   fifo[offered]
	waiting int // bytes of live messages in queue
	kept    int // retained messages in queue

	lastID uint16
	flight map[uint16]flight // our packet ids, which are not those of the client's publishes
}

// flight is where a message to the client is.
type flight uint8

const (
	toAck      flight = iota // QoS 1, until PUBACK
	toRecord                 // QoS 2, until PUBREC
	toComplete               // QoS 2, until PUBCOMP
)

// verdict is what became of an offer.
type verdict uint8

const (
	taken    verdict = iota
	dropped          // no room, or too large for this client
	overflow         // no room, and the client must not miss it
)

// offer puts a message into the queue.
func (out *outgoing) offer(o offered) verdict {
	if !out.fits(o.message, o.qos) {
		return dropped
	}
	if o.kept {
		if out.kept == maxWaitingKept {
			return overflow
		}
		out.kept++
	} else {
		size := o.message.Size() + besideBytes
		if out.waiting > 0 && out.waiting+size > maxWaiting {
			if o.qos == 0 {
				return dropped
			}
			return overflow
		}
		out.waiting += size
	}
	out.queue.push(o)
	return taken
}

// fits says whether the client takes a packet so large [MQTT5-3.1.2-25].
func (out *outgoing) fits(m *types.Message, qos types.QoS) bool {
	if out.maxPacket == 0 {
		return true
	}
	n := publishSize(m, qos, out.version)
	return 1+len(appendVarint(make([]byte, 0, 4), n))+n <= out.maxPacket
}

// now is the message with what is left of its expiry, and whether that is
// anything.
func (o *offered) now() (m *types.Message, worth bool) {
	if o.since.IsZero() {
		return o.message, true
	}
	left := *o.message
	worth = countDown(&left, time.Since(o.since))
	return &left, worth
}

// take appends what can be written now, about maxJoined bytes, and returns it
// with the number of messages in it.
func (out *outgoing) take(b []byte) ([]byte, int) {
	b = append(b, out.replies...)
	if cap(out.replies) > maxReplies {
		out.replies = nil
	}
	out.replies = out.replies[:0]
	messages := 0
	for out.queue.len() > 0 && len(b) < maxJoined {
		o := out.queue.front()
		id := uint16(0)
		message, worth := o.now()
		if worth && o.qos > 0 {
			if len(out.flight) >= out.window {
				break // in order: what is behind it waits too
			}
			id = out.nextID()
			out.flight[id] = toAck
			if o.qos == 2 {
				out.flight[id] = toRecord
			}
		}
		out.queue.pop()
		if o.kept {
			out.kept--
		} else {
			out.waiting -= o.message.Size() + besideBytes
		}
		if worth {
			b = appendPublish(b, message, o.qos, id, o.retain, out.version)
			messages++
		}
	}
	return b, messages
}

// nextID returns a packet id that is not in flight; the window is far below
// their number.
func (out *outgoing) nextID() uint16 {
	for {
		out.lastID++
		if _, used := out.flight[out.lastID]; !used && out.lastID != 0 {
			return out.lastID
		}
	}
}

// acked takes a PUBACK, PUBREC or PUBCOMP of the client, and answers it where
// it is to be answered [MQTT-4.3.3]. What does not fit is ignored.
func (out *outgoing) acked(kind byte, id uint16, code byte) {
	at, known := out.flight[id]
	switch {
	case kind == packets.Puback && known && at == toAck, kind == packets.Pubcomp && known && at == toComplete:
		delete(out.flight, id)
	case kind == packets.Pubrec && known && at != toAck:
		if code >= codeUnspecified {
			delete(out.flight, id)
			return
		}
		out.flight[id] = toComplete
		out.replies = appendAck(out.replies, packets.Pubrel, id, 0, out.version)
	case kind == packets.Pubrec && !known:
		out.replies = appendAck(out.replies, packets.Pubrel, id, codeUnknownID, out.version)
	}
}
