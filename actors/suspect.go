package actors

import (
	"fmt"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// suspicious is after how many links in a row, all of which ended with the same
// message first in line, that message is named to the operator.
const suspicious = 3

// suspect is the message that was the first one on a link, and how many links
// in a row ended with it unanswered. A broker that does not take a message,
// because of its size or its topic, has no other way to say so than to end the
// link [MQTT-4.8.0-1], and whoever looks into it wants to know which message
// that is. Nothing is decided here: the message stays first in line.
type suspect struct {
	seq   types.Seq
	topic string
	size  int // of the payload, in bytes
	links int

	handed   bool // the present link was given a message
	answered bool // and has answered one
}

// linked is for a new link.
func (s *suspect) linked() { s.handed, s.answered = false, false }

// sends is for a message that is given to the link.
func (s *suspect) sends(r *persistence.Record) {
	if s.handed {
		return
	}
	s.handed = true
	if s.seq != r.Seq {
		s.seq, s.topic, s.size, s.links = r.Seq, r.Message.Topic, len(r.Message.Payload), 0
	}
}

// lost is for a link that the other side, or the network, has ended.
func (s *suspect) lost() {
	if s.answered {
		s.links = 0
	} else if s.handed {
		s.links++
	}
}

// explain returns why a link ended, with what is known of the message.
func (s *suspect) explain(why error, connection string) error {
	if s.links < suspicious {
		return why
	}
	return &suspectError{why, *s, connection}
}

// suspectError is the end of a link that a message may be the cause of.
type suspectError struct {
	err        error
	message    suspect
	connection string
}

func (e *suspectError) Error() string {
	m := &e.message
	return fmt.Sprintf("%v (%d times in a row with message %d first in line: topic %q, %d bytes)", e.err, m.links, m.seq, e.topic(), m.size)
}

// Unwrap implements errors.Unwrap.
func (e *suspectError) Unwrap() error { return e.err }

// Hint says what an operator can do about it.
func (e *suspectError) Hint() string {
	said := ""
	if h := broker.Hint(e.err); h != "" {
		said = h + "; "
	}
	return fmt.Sprintf("%sthe broker may not take that message: see its log; mqttdb clear %s --topic %q gives it up", said, e.connection, e.topic())
}

// topic is that of the message, as much of it as is good to read.
func (e *suspectError) topic() string {
	const most = 100
	if t := e.message.topic; len(t) > most {
		return t[:most] + "..."
	}
	return e.message.topic
}
