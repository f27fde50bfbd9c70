package types

import (
	"fmt"
	"time"
)

// QoS is the delivery guarantee of a message [MQTT-4.3]: 0 at most once, 1 at
// least once, 2 exactly once.
type QoS uint8

// Seq is the number of a message in its queue: from 1, rising, never reused
// within the life of a store. Zero means none.
type Seq uint64

// Message is one MQTT application message. Neither it nor its slices may be
// modified once it was handed over.
type Message struct {
	Topic   string // a topic name: no wildcards, no NUL, valid UTF-8, 1 to 65,535 bytes [MQTT-4.7.3]
	Payload []byte // any bytes, also none
	QoS     QoS
	Retain  bool

	// Expiry is how long after its acceptance the message is still worth
	// delivering; 0: for ever. Counted in whole milliseconds.
	Expiry time.Duration

	// Properties are the MQTT 5 properties of a PUBLISH as on the wire, without
	// their length [MQTT5-3.3.2.3]; nil for a message that came by 3.1.1.
	Properties []byte
}

// Origin says where a message came from, so that a repeat of it can be told
// from a new one: a local client and its packet id, a producer session and its
// number, another queue's store id and its seq.
type Origin struct {
	Source string // "" means that the message has no origin
	ID     uint64
}

// Passage is a message on its way into the queues that it belongs to.
type Passage struct {
	Message Message
	Origin  Origin
	Once    *Once // how a repeat of it is told from a new message; nil: it is a new one

	// Since is when it was accepted where it comes from; zero: it is accepted now.
	Since time.Time

	// Done is called exactly once, from any goroutine, when the message is
	// committed everywhere or was refused. ErrRepeated says that it was there
	// before, in every queue that it belongs to. It must not block.
	Done func(error)

	// Stored, if set, is told the number of the message in the queue of each
	// connection that forwards it, once it is committed there, before Done. It is
	// called from any goroutine and must not block.
	Stored func(connection string, seq Seq)
}

// Size is the room that m takes in memory and, nearly, on disk: in bytes.
func (m Message) Size() int { return len(m.Topic) + len(m.Payload) + len(m.Properties) + 16 }

// MaxProperties is the most that the properties of a message may take, in bytes.
const MaxProperties = 64 << 10

// Check says whether m can be taken, stored and published: QoS, topic (see
// CheckNewTopic), sizes. max is the largest payload in bytes. The error wraps ErrInvalidTopic, ErrTooLarge
// or ErrInvalidMessage.
func (m Message) Check(max int) error {
	if m.QoS > 2 {
		return fmt.Errorf("%w: QoS %d (0, 1 or 2 is allowed)", ErrInvalidMessage, m.QoS)
	}
	if m.Expiry < 0 {
		return fmt.Errorf("%w: negative expiry %v", ErrInvalidMessage, m.Expiry)
	}
	if err := CheckNewTopic(m.Topic); err != nil {
		return err
	}
	if len(m.Payload) > max {
		return fmt.Errorf("%w: the payload has %d bytes, the limit is %d", ErrTooLarge, len(m.Payload), max)
	}
	if n := len(m.Properties); n > MaxProperties {
		return fmt.Errorf("%w: the properties have %d bytes, the limit is %d", ErrTooLarge, n, MaxProperties)
	}
	return nil
}
