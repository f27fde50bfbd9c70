package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Switch is a boolean whose default is not always false.
type Switch uint8

const (
	Unset Switch = iota // what the field documents as its default
	On
	Off
)

// Retain says what becomes of the retain flag of a message that passes.
type Retain uint8

const (
	RetainKeep  Retain = iota
	RetainClear        // for brokers that refuse it
)

// Overflow says what happens when a queue reaches a limit. The zero value is the
// default: Reject, or for one queue what is set for both.
type Overflow uint8

const (
	Reject     Overflow = iota + 1 // the publisher is told, or has to wait
	DropOldest                     // the oldest message that is not in flight makes room
	DropNewest                     // the new message is taken, counted and dropped
)

// SessionLost says what becomes of QoS 2 messages whose PUBREL may have been
// sent when the broker has lost our session.
type SessionLost uint8

const (
	Redeliver SessionLost = iota
	AssumeDelivered
)

// Envelope says what is put around a forwarded payload.
type Envelope uint8

const (
	EnvelopeNone Envelope = iota
	EnvelopeJSON          // {ts, seq, replayed, payload | payload_base64}
)

// Protocol is the version of MQTT to speak.
type Protocol uint8

const (
	MQTT311 Protocol = iota
	MQTT31
	MQTT5
)

// Level is the protocol level on the wire [MQTT-3.1.2.2].
func (p Protocol) Level() byte { return [...]byte{4, 3, 5}[min(int(p), 2)] }

func (s Switch) words() []string      { return []string{"", "true", "false"} }
func (r Retain) words() []string      { return []string{"keep", "clear"} }
func (o Overflow) words() []string    { return []string{"", "reject", "drop_oldest", "drop_newest"} }
func (s SessionLost) words() []string { return []string{"redeliver", "assume_delivered"} }
func (e Envelope) words() []string    { return []string{"none", "json"} }
func (p Protocol) words() []string    { return []string{"3.1.1", "3.1", "5"} }

func (s Switch) String() string      { return word(s) }
func (r Retain) String() string      { return word(r) }
func (o Overflow) String() string    { return word(o) }
func (s SessionLost) String() string { return word(s) }
func (e Envelope) String() string    { return word(e) }
func (p Protocol) String() string    { return word(p) }

// UnmarshalText reads true or false.
func (s *Switch) UnmarshalText(text []byte) error { return choose(s, text) }

// UnmarshalText reads keep or clear.
func (r *Retain) UnmarshalText(text []byte) error { return choose(r, text) }

// UnmarshalText reads reject, drop_oldest or drop_newest.
func (o *Overflow) UnmarshalText(text []byte) error { return choose(o, text) }

// UnmarshalText reads redeliver or assume_delivered.
func (s *SessionLost) UnmarshalText(text []byte) error { return choose(s, text) }

// UnmarshalText reads none or json.
func (e *Envelope) UnmarshalText(text []byte) error { return choose(e, text) }

// UnmarshalText reads 3.1.1, 3.1 or 5.
func (p *Protocol) UnmarshalText(text []byte) error { return choose(p, text) }

// choice is a type whose values are named by words, in their order; "" is a
// value that cannot be written.
type choice interface {
	~uint8
	words() []string
}

func word[C choice](c C) string {
	if words := c.words(); int(c) < len(words) {
		return words[c]
	}
	return fmt.Sprintf("invalid(%d)", uint8(c))
}

func choose[C choice](c *C, text []byte) error {
	words := (*c).words()
	if i := slices.Index(words, string(text)); i >= 0 && len(text) > 0 {
		*c = C(i)
		return nil
	}
	return errors.New("must be " + alternatives(words))
}

// checkChoice complains about a value that no constant has.
func checkChoice[C choice](p *problems, path string, c C) {
	if words := c.words(); int(c) >= len(words) {
		p.add(path, "must be "+alternatives(words), "")
	}
}

// alternatives writes words as in "a, b or c".
func alternatives(words []string) string {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
