package actors

import (
	"log/slog"
	"sync/atomic"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// InboundConfig says what becomes of messages from the broker. Name and Handle
// must be set.
type InboundConfig struct {
	Name string // "<connection>/inbound"

	// Handle takes a message. It must not block. The broker gets its
	// acknowledgement when Handle has returned.
	Handle func(types.Message)

	Changed func()       // called when the counters changed; must not block. nil: nobody is told
	Logger  *slog.Logger // nil: none
}

// Inbound is a running inbound actor. It may be used concurrently.
type Inbound struct {
	Ref[InboundMessage]
	received, repeated, oversized atomic.Uint64
}

// Received is how many messages were handled.
func (i *Inbound) Received() uint64 { return i.received.Load() }

// Repeated is how many messages came a second time and were not handled.
func (i *Inbound) Repeated() uint64 { return i.repeated.Load() }

// Oversized is how many messages were larger than what is accepted.
func (i *Inbound) Oversized() uint64 { return i.oversized.Load() }

// SpawnInbound starts the actor that takes what the broker sends.
func SpawnInbound(s *System, c InboundConfig) (*Inbound, error) {
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Inbound{}
	open := make(map[uint16]bool)
	ref, err := spawn(s, c.Name, func(Ref[InboundMessage]) role[InboundMessage] {
		return &inbound{config: c, handle: h, open: open}
	}, func(InboundMessage, error) {})
	if err != nil {
		return nil, err
	}
	h.Ref = ref
	return h, nil
}

// inbound hands on what the broker sends and acknowledges it.
type inbound struct {
	config InboundConfig
	handle *Inbound

	// open holds the packet ids of QoS 2 messages that were handled and whose
	// PUBREL is still to come [MQTT-4.3.3]. It outlives failures.
	open map[uint16]bool
	acks []broker.Ack
}

var _ role[InboundMessage] = (*inbound)(nil)

func (i *inbound) started() {}

func (i *inbound) receive(m InboundMessage) {
	switch m := m.(type) {
	case Linked:
		if !m.Present {
			clear(i.open)
		}
	case Arrived:
		i.arrived(m)
	}
}

// arrived handles packets in their order and acknowledges all of them at once.
func (i *inbound) arrived(m Arrived) {
	i.acks = i.acks[:0]
	for _, p := range m.Packets {
		if p.Kind == broker.Release {
			delete(i.open, p.ID)
			i.acks = append(i.acks, broker.Ack{Kind: broker.PubComp, ID: p.ID})
			continue
		}
		i.take(p)
		switch p.Message.QoS {
		case 1:
			i.acks = append(i.acks, broker.Ack{Kind: broker.PubAck, ID: p.ID})
		case 2:
			i.acks = append(i.acks, broker.Ack{Kind: broker.PubRec, ID: p.ID})
		}
	}
	if len(i.acks) > 0 {
		_ = m.Link.Acknowledge(i.acks) // a link that is closed has told so: the broker repeats what it did not hear of
	}
	i.config.Changed()
}

// take handles a message, unless it is the repeat of one whose handshake is
// under way. A message with that id and without DUP is a new one.
func (i *inbound) take(p broker.Inbound) {
	if p.Message.QoS == 2 {
		if i.open[p.ID] && p.Dup {
			i.handle.repeated.Add(1)
			return
		}
		i.open[p.ID] = true
	}
	if p.Kind == broker.Oversized {
		i.handle.oversized.Add(1)
		i.config.Logger.Warn("a message from the broker is too large and was passed over", "topic", p.Message.Topic, "bytes", p.Size)
		return
	}
	i.config.Handle(p.Message)
	i.handle.received.Add(1)
}

// interrupted implements role: what was being handled was not acknowledged, and
// the broker repeats it on the next link.
func (i *inbound) interrupted(current InboundMessage) {
	if m, ok := current.(Arrived); ok {
		m.Link.Close(false)
	}
}

func (i *inbound) stopping() {}
