package actors

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// InboundConfig says what becomes of messages from the broker. Name must be set.
// Its functions are called by one goroutine at a time, and must not block.
type InboundConfig struct {
	Name string // "<connection>/inbound"

	// Accept returns a message as those here know it, with its local topic, or
	// says that it is for nobody. nil: all are taken as they are.
	Accept func(types.Message) (types.Message, bool)

	// Store stores an accepted message in every queue that it belongs to and
	// calls done exactly once, from any goroutine, when that is committed; an
	// error means that it is to be stored again. It returns false without
	// calling done when there is no room now; then room is called once, when it
	// is worth trying again. number rises by one with each message that is
	// accepted; one that is stored again keeps it. nil: nothing is stored.
	Store func(m types.Message, number uint64, done func(error), room func()) bool

	// Queue, if set, is where accepted messages are stored instead, each in one
	// commit with what has to be known of its packet id (S4.1). Store and Deliver
	// are not used then.
	Queue *Queue

	// Tombstones is how many packet ids are remembered behind their PUBREL, where
	// there is a Queue, unless twice as many as were open at a time are more; 200
	// if 0.
	Tombstones int

	// Deliver takes an accepted message once it is stored, in their order.
	// Behind it the broker gets its acknowledgement. nil: nobody is told.
	Deliver func(types.Message)

	// MaxHeld is how many bytes of messages may wait to be stored; beyond it
	// nothing more is read from the broker. 1 MiB if 0.
	MaxHeld int

	RetryAfter time.Duration // the wait before a message is stored again; 1 s if 0
	Changed    func()        // called when the counters changed. nil: nobody is told
	Clock      Clock         // nil: the real one
	Logger     *slog.Logger  // nil: none
}

func (c *InboundConfig) setDefaults() {
	if c.Accept == nil {
		c.Accept = func(m types.Message) (types.Message, bool) { return m, true }
	}
	if c.Store == nil {
		c.Store = func(_ types.Message, _ uint64, done func(error), _ func()) bool { done(nil); return true }
	}
	if c.Tombstones == 0 {
		c.Tombstones = 200
	}
	if c.Deliver == nil {
		c.Deliver = func(types.Message) {}
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 1 << 20
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Inbound is a running inbound actor. It may be used concurrently.
type Inbound struct {
	Ref[InboundMessage]
	received, repeated, oversized atomic.Uint64
	waiting                       atomic.Int64
}

// Received is how many messages were stored and handed on.
func (i *Inbound) Received() uint64 { return i.received.Load() }

// Waiting is how many messages are not acknowledged to the broker yet.
func (i *Inbound) Waiting() int { return int(i.waiting.Load()) }

// Repeated is how many messages came a second time and were not handled.
func (i *Inbound) Repeated() uint64 { return i.repeated.Load() }

// Oversized is how many messages were larger than what is accepted.
func (i *Inbound) Oversized() uint64 { return i.oversized.Load() }

// SpawnInbound starts the actor that takes what the broker sends.
func SpawnInbound(s *System, c InboundConfig) (*Inbound, error) {
	c.setDefaults()
	h := &Inbound{}
	k := &inboundKeeper{config: c, handle: h, open: make(map[uint16]bool)}
	ref, err := spawn(s, c.Name, func(self Ref[InboundMessage]) role[InboundMessage] {
		if c.Queue != nil {
			return newReceiving(k, self)
		}
		return &inbound{inboundKeeper: k, self: self, settling: &settlements{self: self}}
	}, func(InboundMessage, error) {})
	if err != nil {
		return nil, err
	}
	h.Ref = ref
	return h, nil
}

// inboundKeeper is what outlives the failures of an inbound. Only the actor uses
// it.
type inboundKeeper struct {
	config InboundConfig
	handle *Inbound
	life   uint64 // number of the role that lives, where there is a Queue
	number uint64 // of the message that was accepted last, where there is none

	// open holds the packet ids of QoS 2 messages whose PUBREL is still to come
	// [MQTT-4.3.3].
	open map[uint16]bool
}

// inbound hands on what the broker sends and acknowledges it, in its order
// [MQTT-4.6.0-2].
type inbound struct {
	*inboundKeeper
	self Ref[InboundMessage]
	acknowledging
	holding

	// line is what is not acknowledged yet: some is being stored, the rest waits.
	line     []*arrival
	bytes    int
	full     bool // Store had no room; roomMade follows
	resting  bool // after an error; retryDue follows
	troubled bool // the last that was stored failed
	settling *settlements
}

var _ role[InboundMessage] = (*inbound)(nil)

func (i *inbound) started() {}

func (i *inbound) receive(m InboundMessage) {
	switch m := m.(type) {
	case Linked:
		i.linked(m)
	case Arrived:
		i.link = m.Link
		for _, p := range m.Packets {
			i.arrived(m.Link, p)
		}
	case answeredSome:
	case roomMade:
		i.full = false
	case retryDue:
		i.resting = false
	}
	i.advance()
	i.flush()
	i.hold(i.bytes, i.config.MaxHeld)
	i.handle.waiting.Store(int64(len(i.line)))
	i.config.Changed()
}

// linked begins with a new link. The broker sends again what it has not heard
// of, if it has kept the session; else nobody does.
func (i *inbound) linked(m Linked) {
	i.holding = holding{link: m.Link}
	if m.Unsure { // what has not gone through may come again, and may not
		return
	}
	if !m.Present {
		clear(i.open)
		return
	}
	kept := i.line[:0]
	for _, a := range i.line {
		if a.stage != through && a.stage != underWay && a.qos > 0 {
			i.forget(a)
			continue
		}
		kept = append(kept, a)
	}
	clear(i.line[len(kept):])
	i.line = kept
}

// forget gives up a message that the broker sends again.
func (i *inbound) forget(a *arrival) {
	i.bytes -= a.size
	if a.qos == 2 {
		delete(i.open, a.id)
	}
}

// arrived takes a packet. A PUBREL never waits for messages that do [S8.1].
func (i *inbound) arrived(l broker.Link, p broker.Inbound) {
	if p.Kind == broker.Release {
		i.advance()
		delete(i.open, p.ID)
		i.acknowledge(l, broker.Ack{Kind: broker.PubComp, ID: p.ID})
		return
	}
	a := &arrival{id: p.ID, qos: p.Message.QoS, link: l, settling: i.settling, size: arrivalSize}
	i.line = append(i.line, a)
	if i.wants(&p) {
		a.message, a.wanted = i.config.Accept(p.Message)
	}
	if a.wanted {
		i.number++
		a.number = i.number
		a.size += a.message.Size()
	} else {
		a.message, a.stage = types.Message{}, through
	}
	i.bytes += a.size
}

// wants says whether a packet carries a message that is to be handled, and not
// the repeat of one whose handshake is under way. A message with that id and
// without DUP is a new one.
func (i *inbound) wants(p *broker.Inbound) bool {
	if p.Message.QoS == 2 {
		if i.open[p.ID] && p.Dup {
			i.handle.repeated.Add(1)
			return false
		}
		i.open[p.ID] = true
	}
	if p.Kind == broker.Oversized {
		i.handle.oversized.Add(1)
		i.config.Logger.Warn("a message from the broker is too large and was passed over", "topic", p.Message.Topic, "bytes", p.Size)
		return false
	}
	return true
}

// advance stores what may be stored now, and lets go what is.
func (i *inbound) advance() {
	i.settling.begin()
	for _, a := range i.line {
		if i.full || i.resting || i.settling.failed.Load() {
			break
		}
		if a.stage == inLine {
			a.stage = underWay
			if !i.config.Store(a.message, a.number, a.answer, i.roomMade) {
				a.stage = inLine
				i.full = true
			}
		}
	}
	i.settling.end()
	i.settle()
	n := 0
	for n < len(i.line) && i.line[n].stage == through {
		i.finish(i.line[n])
		i.line[n] = nil
		n++
	}
	i.line = i.line[n:]
	if len(i.line) == 0 {
		i.line = nil
	}
}

func (i *inbound) roomMade() { i.self.Tell(roomMade{}) }

// settle takes the answers of Store. After an error nothing more is stored until
// all that is under way is answered: then it goes on with the first that failed,
// so that none is stored before it.
func (i *inbound) settle() {
	under := false
	for _, a := range i.line {
		if a.stage == underWay {
			if a.answered.Load() {
				a.stage = through
				if a.err != nil {
					a.stage = givenBack
				}
			} else {
				under = true
			}
		}
	}
	if under || !i.settling.failed.Load() {
		return
	}
	i.settling.failed.Store(false)
	var why error
	for _, a := range i.line {
		if a.stage == givenBack {
			why = a.err
			a.stage, a.err = inLine, nil
			a.answered.Store(false)
		}
	}
	if !i.troubled {
		i.config.Logger.Warn("a message from the broker cannot be stored; it is not acknowledged and tried again", "error", why, "again_in", i.config.RetryAfter)
	}
	i.troubled, i.resting = true, true
	self := i.self
	i.config.Clock.AfterFunc(i.config.RetryAfter, func() { self.Tell(retryDue{}) })
}

// finish hands on the first of the line and acknowledges it.
func (i *inbound) finish(a *arrival) {
	i.bytes -= a.size
	if a.wanted {
		i.troubled = false
		i.config.Deliver(a.message)
		i.handle.received.Add(1)
	}
	switch a.qos {
	case 1:
		i.acknowledge(a.link, broker.Ack{Kind: broker.PubAck, ID: a.id})
	case 2:
		i.acknowledge(a.link, broker.Ack{Kind: broker.PubRec, ID: a.id})
	}
}

// interrupted implements role: what was not acknowledged the broker repeats on
// the next link.
func (i *inbound) interrupted(InboundMessage) {
	for _, a := range i.line {
		if a != nil && a.stage != through && a.qos == 2 {
			delete(i.open, a.id)
		}
	}
	if i.link != nil {
		i.link.Close(false)
	}
	i.handle.waiting.Store(0)
}

func (i *inbound) stopping() {}
