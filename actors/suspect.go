package actors

import (
	"fmt"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// suspicious is after how many links in a row, all of which ended with the
	// same message first in line, that message is named to the operator, and sent
	// alone.
	suspicious = 3
	// mostGivenUp is how many messages are given up in a row while nothing else is
	// taken. If yet another one cannot be sent it is not the message.
	mostGivenUp = 2
	// mostDead is how many dead letters a queue has when nothing more is given up.
	mostDead = 10_000
)

// suspect is the message that was the first one on a link, and how many links
// in a row ended with it unanswered. A broker that does not take a message,
// because of its size or its topic, has no other way to say so than to end the
// link [MQTT-4.8.0-1]. After some links a message is sent alone, so that it is
// not blamed for what stands behind it.
type suspect struct {
	seq   types.Seq
	topic string
	size  int // of the payload, in bytes
	links int

	finishing bool // it was not published, only its handshake was to be finished
	exact     bool // it was sent with QoS 2
	above     bool // it was sent with QoS 2, which is more than may be used now

	handed   bool // the present link was given a message
	answered bool // and has answered one
	alone    int  // so many messages are sent one by one on the present link
	givenUp  int  // messages in a row, without an answer to another one
}

// linked is for a new link, with a window of so many messages.
func (s *suspect) linked(window int) {
	s.handed, s.answered, s.alone = false, false, 0
	if s.links >= suspicious {
		s.alone = window
	}
}

// sends is for a message that is given to the link, with that QoS; finishing and
// above are those of a suspect.
func (s *suspect) sends(r *persistence.Record, qos types.QoS, finishing, above bool) {
	if s.handed {
		return
	}
	s.handed = true
	s.exact, s.above = qos == 2, above
	if s.seq != r.Seq || s.finishing != finishing {
		s.finishing = finishing
		s.seq, s.topic, s.size, s.links = r.Seq, r.Message.Topic, len(r.Message.Payload), 0
	}
}

// answers is for a message that the other side has acknowledged.
func (s *suspect) answers() { s.answered, s.givenUp = true, 0 }

// leaves is for so many messages that have nothing more to wait for.
func (s *suspect) leaves(n uint64) { s.alone = max(0, s.alone-int(min(n, 1<<20))) }

// lost is for a link that the other side, or the network, has ended.
func (s *suspect) lost() {
	if s.answered {
		s.links = 0
	} else if s.handed {
		s.links++
	}
}

// blamed says whether the last link may have ended because of the message.
func (s *suspect) blamed() bool { return s.links > 0 || s.handed && !s.answered }

// acquit forgets all suspicion.
func (s *suspect) acquit() { s.links, s.alone, s.givenUp = 0, 0, 0 }

// judge decides what the end of a link means: it returns the state that
// follows, and why. The first message in line is given up after MaxAttempts
// links, unless that would be the third in a row: then it is kept, as it is the
// broker that refuses, until an answer comes or somebody says to go on.
func (c *connection) judge(err error) (types.State, error) {
	s := &c.suspect
	s.lost()
	why := s.explain(err, c.config.Name)
	if s.links >= suspicious && s.above {
		return c.beginAnew(err, "it is sent with QoS 2, with which it was begun, and max_qos is lower now")
	}
	if c.config.MaxAttempts < 0 || s.links < c.config.MaxAttempts {
		return types.Backoff, why
	}
	if s.finishing {
		if c.config.Queue.State().Released.Contains(s.seq) {
			return types.Backoff, why // the broker has it, and would get it twice
		}
		return c.beginAnew(err, "the broker does not let its handshake be finished")
	}
	if s.givenUp >= mostGivenUp {
		return types.Refused, &broker.HintedError{Err: err, Advice: fmt.Sprintf("the broker does not take any message, this one is the %drd in a row: see its log, and its rules for this user and for topics like %q%s. No more messages are given up, and it is tried again and again; those that were are dead letters, see mqttdb messages %s --queue dead", s.givenUp+1, clip(s.topic), s.exactness(), c.config.Name)}
	}
	if c.lettersFull() {
		return types.Refused, c.fullOfLetters(err)
	}
	c.config.Logger.Error("a message is given up and becomes a dead letter", "seq", s.seq, "topic", clip(s.topic), "bytes", s.size, "attempts", s.links, "error", err)
	attempts := fmt.Sprintf("%d attempts", s.links)
	c.causes[s.seq] = fmt.Sprintf("%d links in a row ended with it first in line, the last one: %v", s.links, err)
	if s.links == 1 {
		attempts = "1 attempt"
		c.causes[s.seq] = fmt.Sprintf("a link ended with it first in line: %v", err)
	}
	c.giveUp(c.doneAs(s.seq, types.Dead))
	s.links = 0
	s.givenUp++
	return types.Backoff, &broker.HintedError{Err: err, Advice: fmt.Sprintf("message %d was set aside after %s: mqttdb messages %s --queue dead", s.seq, attempts, c.config.Name)}
}

// giveUp lets a message leave the queue that the broker does not take. Where the
// broker may know of it, it is abandoned: its packet id is taken until its
// handshake is finished [S3.5].
func (c *connection) giveUp(d persistence.Done) {
	marks := givenUpMark(c.suspect.givenUp + 1)
	if c.begun.Contains(d.Range.First) {
		c.config.Queue.Tell(Note{Abandoned: []persistence.Done{d}, Marks: marks, Store: c.store, Reply: func(Noted, error) {}})
		return
	}
	c.config.Queue.Tell(Settle{Store: c.store, Done: []persistence.Done{d}, Marks: marks})
}

// beginAnew gives up the session, and with it what the broker may know of
// messages that it does not let come to an end.
func (c *connection) beginAnew(err error, why string) (types.State, error) {
	s := &c.suspect
	c.config.Logger.Error("the session with the broker is given up: links end with the same message first in line", "seq", s.seq, "topic", clip(s.topic), "attempts", s.links, "because", why, "error", err)
	s.links, c.renew = 0, true
	return types.Backoff, &broker.HintedError{Err: err, Advice: fmt.Sprintf("%d links ended with message %d first in line, and %s: the session begins anew, what is in flight may arrive twice", suspicious, s.seq, why)}
}

// lettersFull says whether the queue has too many dead letters to get more.
func (c *connection) lettersFull() bool { return c.config.Queue.State().Dead >= mostDead }

func (c *connection) fullOfLetters(err error) error {
	return &broker.HintedError{Err: err, Advice: fmt.Sprintf("there are %d dead letters, so no message is given up any more: look at them with mqttdb messages %s --queue dead, then requeue or clear them", mostDead, c.config.Name)}
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
	return fmt.Sprintf("%v (%d times in a row with message %d first in line: topic %q, %d bytes)", e.err, m.links, m.seq, clip(m.topic), m.size)
}

// Unwrap implements errors.Unwrap.
func (e *suspectError) Unwrap() error { return e.err }

// Hint says what an operator can do about it.
func (e *suspectError) Hint() string {
	said := ""
	if h := broker.Hint(e.err); h != "" {
		said = h + "; "
	}
	if m := e.message; m.finishing { // it is not published, and does not become a dead letter
		return fmt.Sprintf("%sthe broker may not let the QoS 2 handshake of that message be finished: see its log; with another client_id, or on a broker that has lost the session, everything begins anew, and what was in flight may arrive twice", said)
	}
	return fmt.Sprintf("%sthe broker may not take that message%s: see its log; after max_attempts it becomes a dead letter; mqttdb clear %s --topic %q forgets it", said, e.message.exactness(), e.connection, clip(e.message.topic))
}

// exactness is what may be wrong with a message of QoS 2, which some brokers do not
// know.
func (s *suspect) exactness() string {
	if !s.exact {
		return ""
	}
	return ", or any at QoS 2 (then set max_qos: 1)"
}

// clip returns as much of a topic as is good to read.
func clip(topic string) string {
	const most = 100
	if len(topic) > most {
		return topic[:most] + "..."
	}
	return topic
}
