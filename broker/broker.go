// Package broker defines the link between a connection and its MQTT broker,
// and the byte stream below it. Implementations live below the package:
// mqtt (the real one), loopback (a broker in memory); brokertest holds the
// suite that each of them must pass.
package broker

import (
	"context"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Dialer opens links. It may be used concurrently.
type Dialer interface {
	// Dial connects, sends CONNECT and waits for a CONNACK that accepts us. From
	// then on everything that happens on the link is told to events, in order,
	// by one goroutine at a time, until a Down, which is the last; events must
	// not block and must not call the link. Nothing is told if Dial returns an
	// error. A broker that answered and said no gives a *RefusedError.
	Dial(ctx context.Context, o ConnectOptions, events func(Event)) (Link, Session, error)
}

// Link is one live MQTT session over one network connection. It never
// reconnects and never stores. Its methods do not wait for the network and may
// be called concurrently; after Down they return an error that wraps
// types.ErrClosed.
type Link interface {
	// Publish sends p in order, joined into one write as far as possible.
	// Payloads are not copied and must not be modified until acknowledged; p
	// itself is not used after the return.
	// Every message was checked by the caller (types.Message.Check); one that
	// the protocol cannot carry all the same is an error, and then none of p is
	// sent.
	Publish(p []Publish) error

	// Release sends PUBREL for these ids [MQTT-4.3.3].
	Release(ids []uint16) error

	// Acknowledge answers messages that came from the broker.
	Acknowledge(acks []Ack) error

	// Subscribe asks for filters; Subscribed follows with the same id.
	Subscribe(id uint16, filters []Filter) error

	// Unsubscribe gives filters back; Unsubscribed follows with the same id.
	Unsubscribe(id uint16, filters []string) error

	// Close ends the link: gracefully (what was handed over is written, then
	// DISCONNECT, so that the broker does not publish the will) or at once.
	// Down follows. It returns without waiting.
	Close(graceful bool)
}

// Holder is a Link that can let the broker wait. Hold(true) returns at once, and
// nothing more is read until Hold(false); what was read before is still told.
// Meanwhile the broker is not taken for dead for being silent.
type Holder interface {
	Hold(on bool)
}

// ConnectOptions says how to greet the broker.
type ConnectOptions struct {
	ClientID     string
	CleanSession bool
	Username     string // "" sends none
	Password     []byte // nil sends none
	KeepAlive    time.Duration
	Will         *types.Message // nil: none
	Protocol     Protocol
	Bridge       bool // say with bit 7 of the protocol level that this is a bridge, as mosquitto's do: it keeps retain flags, and sends nothing back
	MaxPacket    int  // largest packet that is read whole, in bytes, 0: 8 MiB; what is longer is read past and told as Oversized
	MaxPayload   int  // of a message, in bytes, 0: whatever MaxPacket lets through; one with more is told as Oversized
}

// Protocol is a version of MQTT, as its protocol level [MQTT-3.1.2.2].
type Protocol byte

const (
	MQTT31  Protocol = 3
	MQTT311 Protocol = 4
	MQTT5   Protocol = 5 // no link speaks it yet
)

// Session is what CONNACK said.
type Session struct {
	Present   bool // the broker has kept our session [MQTT-3.2.2.2]
	Unsure    bool // it may have: it speaks MQTT 3.1, and does not say
	MaxQoS    types.QoS
	Receive   uint16 // how many QoS 1 and 2 messages it takes at once; 0: not said
	MaxPacket uint32 // largest packet it takes; 0: not said
}

// Publish is a message on its way to the broker.
type Publish struct {
	ID      uint16 // packet id; 0 at QoS 0
	Dup     bool   // it may have been sent before [MQTT-3.3.1.1]
	Tag     uint64 // told back by Written and Withheld
	Message types.Message

	// Until is when it is not worth sending any more: what has not begun to be
	// written then is withheld. Zero: never.
	Until time.Time
}

// AckKind is the kind of an acknowledgement.
type AckKind uint8

const (
	PubAck  AckKind = iota // QoS 1 done
	PubRec                 // QoS 2 received
	PubComp                // QoS 2 done
)

// Ack is an acknowledgement with its packet id.
type Ack struct {
	Kind AckKind
	ID   uint16
}

// Filter asks for the messages of matching topics with at most this QoS.
type Filter struct {
	Topic string
	QoS   types.QoS
}

// Event is what a link tells: one of the types below.
type Event interface{ event() }

type (
	// Acked carries all acknowledgements that had arrived, in their order. While
	// the broker has many messages to work on PUBACKs may be gathered first, for
	// some milliseconds at most.
	Acked struct{ Acks []Ack }

	// Received carries all messages and PUBRELs that had arrived, in their
	// order: at most one network read.
	Received struct{ Packets []Inbound }

	// Subscribed answers Subscribe: a granted QoS or 0x80 per filter.
	Subscribed struct {
		ID    uint16
		Codes []byte
	}

	// Unsubscribed answers Unsubscribe.
	Unsubscribed struct{ ID uint16 }

	// Written says that every Publish up to the one with this tag was taken by
	// the operating system: what there is to know about QoS 0. What was taken
	// before the link broke is told before Down, for the broker may have got it.
	Written struct{ Tag uint64 }

	// Withheld says that these were not written, for their time was over. It is
	// told before a Written with a higher tag.
	Withheld struct{ Tags []uint64 }

	// Down says that the link is gone, and why; nothing follows it. Err is nil
	// after a Close that we asked for.
	Down struct{ Err error }
)

func (Acked) event()        {}
func (Received) event()     {}
func (Subscribed) event()   {}
func (Unsubscribed) event() {}
func (Written) event()      {}
func (Withheld) event()     {}
func (Down) event()         {}

// Inbound is a packet from the broker that belongs to a message of its own.
type Inbound struct {
	Kind    InboundKind
	ID      uint16
	Dup     bool
	Message types.Message // of a Message
	Size    int           // of an Oversized: its payload, in bytes
}

// InboundKind says what an Inbound is.
type InboundKind uint8

const (
	Message   InboundKind = iota
	Release               // PUBREL for ID
	Oversized             // a PUBLISH above MaxPacket or MaxPayload was read past; Message has its topic (unless that alone was too long), QoS and Retain, no payload
)
