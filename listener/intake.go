package listener

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/mqttdb/mqttdb/types"
)

const (
	// maxAhead is how many bytes of publishes may wait for their turn, with one
	// more message. Then nothing more is read.
	maxAhead = 1 << 20

	// maxHeld is how many bytes of messages a client may have between the Sink
	// and the acknowledgement; one message is always allowed.
	maxHeld = 1 << 20

	// maxBatch is how many publishes are handed to the Sink at once.
	maxBatch = 32
)

// intake keeps the books of the publishes of one client: what waits for its
// turn, what the Sink has, and which packet ids are in use. It decides and does
// nothing. The session's lock guards it.
//
// A publish is in ahead, then in answers, then it is answered. Both are in the
// order of arrival; at QoS 0 the "answer" is only the fan-out.
type intake struct {
	receiveMax int

	ahead      fifo[*pending]
	aheadBytes int

	answers    fifo[*pending]
	unanswered int // of answers, those at QoS 1 and 2
	held       int // bytes of answers

	acking  map[uint16]int      // QoS 1: publishes with this id that are not answered
	receipt map[uint16]*receipt // QoS 2: ids whose exchange is not over
}

// receipt is what is known about a QoS 2 packet id until its PUBREL was answered
// [MQTT-4.3.3].
type receipt struct {
	once     types.Once
	answered bool // PUBREC was sent
	released bool // PUBREL came
}

// pending is a publish that is not answered yet.
type pending struct {
	session *session
	publish
	receipt *receipt // at QoS 2
	settled bool     // done was called, or there is nothing to wait for
	known   bool     // it was stored before
	refused refusedBy
	err     error // of the Sink
}

// size is what a pending takes in memory, nearly, in bytes.
func (p *pending) size() int { return p.message.Size() + 128 }

// arrival says what to do with a publish that arrived.
type arrival uint8

const (
	fresh    arrival = iota // it waits for its turn now
	repeated                // its answer is under way
	recorded                // it was answered with PUBREC, and is to be again
)

// arrive takes a publish into the books.
func (in *intake) arrive(p *pending) arrival {
	switch p.message.QoS {
	case 1:
		if p.dup && in.acking[p.id] > 0 {
			return repeated
		}
		// Without DUP an id in use is not a repeat. Storing it may double a
		// message, not storing it may lose one.
		in.acking[p.id]++
	case 2:
		r := in.receipt[p.id]
		if r != nil && !r.released && r.once.Hash == p.receipt.once.Hash {
			if r.answered {
				return recorded
			}
			return repeated
		}
		// With another content it is a new message, or one that repeats what never
		// came (S2.1). What came before it under this id gets no PUBREC, for that
		// would be taken for this one's.
		p.receipt.once.New = r != nil && r.released
		in.receipt[p.id] = p.receipt
	}
	in.ahead.push(p)
	in.aheadBytes += p.size()
	return fresh
}

// contentHash is what a message at QoS 2 is known again by, which is stored: the first 8
// bytes of the SHA-256 of the length of its topic, topic, retain flag and payload.
func contentHash(m *types.Message) uint64 {
	b := make([]byte, 0, 256)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Topic)))
	b = append(b, m.Topic...)
	if m.Retain {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	var sum [sha256.Size]byte
	if len(b)+len(m.Payload) <= cap(b) {
		sum = sha256.Sum256(append(b, m.Payload...))
	} else {
		h := sha256.New()
		h.Write(b)
		h.Write(m.Payload)
		h.Sum(sum[:0])
	}
	return binary.BigEndian.Uint64(sum[:])
}

// full says that nothing more may be read.
func (in *intake) full() bool { return in.aheadBytes >= maxAhead }

// turn moves the next publishes to the answers, and appends those to batch that
// the Sink is to get, which is all up to one that is settled already.
func (in *intake) turn(batch []*pending) []*pending {
	for in.ahead.len() > 0 {
		p := in.ahead.front()
		if len(batch) == maxBatch || p.settled && len(batch) > 0 {
			break
		}
		if p.message.QoS > 0 && in.unanswered >= in.receiveMax || in.held > 0 && in.held+p.size() > maxHeld {
			break
		}
		in.ahead.pop()
		in.aheadBytes -= p.size()
		in.answers.push(p)
		in.held += p.size()
		if p.message.QoS > 0 {
			in.unanswered++
		}
		if !p.settled {
			batch = append(batch, p)
		}
	}
	return batch
}

// putBack undoes the last turn for so many publishes: the Sink has not taken
// them.
func (in *intake) putBack(n int) {
	for range n {
		p := in.answers.unpush()
		in.ahead.unpop(p)
		in.aheadBytes += p.size()
		in.held -= p.size()
		if p.message.QoS > 0 {
			in.unanswered--
		}
	}
}

// answer appends the publishes whose answer is due, in order, and takes them
// out of the books but for the ids of QoS 2.
func (in *intake) answer(due []*pending) []*pending {
	for in.answers.len() > 0 && in.answers.front().settled {
		p := in.answers.pop()
		in.held -= p.size()
		switch p.message.QoS {
		case 1:
			in.unanswered--
			if in.acking[p.id]--; in.acking[p.id] == 0 {
				delete(in.acking, p.id)
			}
		case 2:
			in.unanswered--
		}
		due = append(due, p)
	}
	return due
}

// record says whether p is to get a PUBREC now, and with which code; an id
// that is refused is free at once [MQTT5-4.3.3].
func (in *intake) record(p *pending, code byte) bool {
	if in.receipt[p.id] != p.receipt {
		return false
	}
	p.receipt.answered = true
	if code >= codeUnspecified {
		delete(in.receipt, p.id)
	}
	return true
}

// release takes a PUBREL: what comes under this id from then on is a new message.
// known is false for an id that is not in use; ok is false while its PUBREC is to
// come, for then the client cannot mean this message.
func (in *intake) release(id uint16) (known, ok bool) {
	r := in.receipt[id]
	if r != nil && !r.answered {
		return true, false
	}
	if r != nil {
		r.released = true
	}
	return r != nil, true
}

// complete ends a QoS 2 exchange that was released.
func (in *intake) complete(id uint16) {
	if r := in.receipt[id]; r != nil && r.released {
		delete(in.receipt, id)
	}
}

// forsake drops what waits for its turn, all or only what the client will send
// again because it was not answered, and returns how many messages at QoS 0
// were among them.
func (in *intake) forsake(all bool) (lost int) {
	for n := in.ahead.len(); n > 0; n-- {
		p := in.ahead.pop()
		if p.message.QoS == 0 && !all {
			in.ahead.push(p)
			continue
		}
		in.aheadBytes -= p.size()
		if p.message.QoS == 0 {
			lost++
		}
	}
	return lost
}

// idle says that nothing waits and nothing is to be answered.
func (in *intake) idle() bool { return in.ahead.len() == 0 && in.answers.len() == 0 }
