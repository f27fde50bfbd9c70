package actors

import (
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// PumpConfig says what to move, and where. Name, Consumers, Consumer and Store must
// be set. Its functions are called by one goroutine at a time, and must not block.
type PumpConfig struct {
	Name      string // "<connection>/to/<target>"
	Consumers *Consumers
	Consumer  string // established there

	// Store stores messages in their order wherever the target keeps them. It takes
	// as many as there is room for, the first ones, and returns how many; if there
	// are more room is called once, when it is worth trying again. done is called
	// exactly once for each that it has taken, by its index, from any goroutine: nil
	// when it is committed, types.ErrRepeated if it was before. It stores none behind
	// one that it does not store.
	//
	// Each has an Origin that says that it is the one of that number, and a rule
	// that tells a repeat: what is not known to be committed is stored again, also
	// after a crash.
	Store func(list []types.Passage, room func()) int

	// ForGood says of an error of Store that the message will never be taken: it
	// becomes a dead letter. nil: of none.
	ForGood func(error) bool

	// Deliver takes each message when it is stored, in their order, but for those
	// that a process before may have handed on. nil: nobody is told.
	Deliver func(types.Message)

	RetryAfter time.Duration // the wait after an error; 1 s if 0
	Clock      Clock         // nil: the real one
	Logger     *slog.Logger  // nil: none
}

const (
	// What a pump is given at a time, and what it stores at once.
	pumpMessages = 512
	pumpBytes    = 1 << 20
)

// Pump is a running pump. It may be used concurrently.
type Pump struct{ Ref[PumpMessage] }

// PumpMessage is what a pump understands.
type PumpMessage interface{ pumpMessage() }

type (
	pumpJoined struct {
		try uint64
		Joined
		err error
	}
	pumpGiven   struct{}             // the belt has something
	pumpEnded   struct{ try uint64 } // nothing more comes by that Join
	pumpStored  struct{ load *load } // all of it is answered
	pumpRefused struct {             // letters could not be recorded
		try uint64
		err error
	}
	pumpRoom struct{}
	pumpDue  struct{}
)

func (pumpJoined) pumpMessage()  {}
func (pumpGiven) pumpMessage()   {}
func (pumpEnded) pumpMessage()   {}
func (pumpStored) pumpMessage()  {}
func (pumpRefused) pumpMessage() {}
func (pumpRoom) pumpMessage()    {}
func (pumpDue) pumpMessage()     {}

// SpawnPump starts the actor that moves the messages of one consumer to where they
// are to be kept, each once: it acknowledges one when it is committed there, and a
// repeat is recognised there.
func SpawnPump(s *System, c PumpConfig) (*Pump, error) {
	if c.ForGood == nil {
		c.ForGood = func(error) bool { return false }
	}
	if c.Deliver == nil {
		c.Deliver = func(types.Message) {}
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &pumpKeeper{config: c}
	ref, err := spawn(s, c.Name, func(self Ref[PumpMessage]) role[PumpMessage] {
		return &pump{pumpKeeper: k, self: self}
	}, func(PumpMessage, error) {})
	if err != nil {
		return nil, err
	}
	return &Pump{ref}, nil
}

// pumpKeeper is what outlives the failures of a pump. Only the actor uses it.
type pumpKeeper struct {
	config PumpConfig
	tries  uint64 // to join

	store  persistence.StoreID // that was joined last
	before bool                // what comes again may be from a process before
	handed types.Seq           // to Deliver, up to here
}

// pump moves messages from its belt, in loads: one is under way at a time, so that
// no message is ever stored behind a later one.
type pump struct {
	*pumpKeeper
	self Ref[PumpMessage]

	try    uint64 // to join, that counts
	token  Token
	source string // of the origin of what is moved
	belt   *belt  // nil: not joined

	load    *load // under way; nil: none is
	full    bool  // the target has no room; pumpRoom follows
	resting bool  // after an error; pumpDue follows
	alone   bool  // the next message goes alone, to find out whether it is refused
	ill     bool  // the last load failed
}

var _ role[PumpMessage] = (*pump)(nil)

func (p *pump) started() { p.join() }

func (p *pump) receive(m PumpMessage) {
	switch m := m.(type) {
	case pumpJoined:
		p.joined(m)
	case pumpEnded:
		if m.try == p.try {
			p.part()
			p.rest(nil)
		}
	case pumpStored:
		if m.load == p.load {
			p.stored()
		}
	case pumpRefused:
		if m.try == p.try {
			p.leave()
			p.rest(m.err)
		}
	case pumpRoom:
		p.full = false
	case pumpDue:
		p.resting = false
		if p.belt == nil {
			p.join()
		}
	}
	p.advance()
}

// join asks for what the consumer is to get.
func (p *pump) join() {
	p.tries++
	p.try = p.tries
	p.belt = newBelt(p.self, p.try)
	self, try := p.self, p.try
	p.config.Consumers.Tell(Join{
		Name: p.config.Consumer, Receiver: p.belt, Messages: pumpMessages, Bytes: pumpBytes,
		Reply: func(j Joined, err error) { self.Tell(pumpJoined{try, j, err}) },
	})
}

func (p *pump) joined(m pumpJoined) {
	if m.try != p.try || p.belt == nil {
		return
	}
	if m.err != nil {
		p.part()
		p.rest(nil) // whoever runs the queue says what is wrong with it
		return
	}
	p.token, p.source = m.Token, hex.EncodeToString(m.Store[:])
	switch {
	case m.Store != p.store:
		p.store, p.before, p.handed = m.Store, true, 0
	default:
		p.before = false
	}
	p.belt.open()
}

// part ends what the present Join has brought.
func (p *pump) part() { p.belt, p.load, p.alone = nil, nil, false }

// leave gives back what was given.
func (p *pump) leave() {
	if p.belt != nil {
		p.config.Consumers.Tell(Leave{Consumer: p.token, Last: p.belt.Recall()})
		p.part()
	}
}

// advance stores what may be stored now.
func (p *pump) advance() {
	if p.belt == nil || p.load != nil || p.full || p.resting {
		return
	}
	most := pumpMessages
	if p.alone {
		most = 1
	}
	list := p.takeInTime(most)
	if len(list) == 0 {
		return
	}
	l := newLoad(p.self, list)
	p.load = l
	for i := range list {
		l.passages[i] = types.Passage{
			Message: list[i].Message, Origin: types.Origin{Source: p.source, ID: uint64(list[i].Seq)}, Once: &types.Once{Rule: types.Rising}, Since: list[i].Since,
			Done: func(err error) { l.answer(i, err) },
		}
	}
	self := p.self
	taken := p.config.Store(l.passages, func() { self.Tell(pumpRoom{}) })
	if taken < len(list) {
		p.full = true
		p.belt.giveBack(len(list) - taken)
	}
	if !l.takes(taken) {
		p.load = nil
	}
}

// takeInTime takes the first messages from the belt, some many at most, up to one
// that has expired; what has expired before them is done.
func (p *pump) takeInTime(most int) []Delivery {
	now := p.config.Clock.Now()
	for {
		list := p.belt.take(most)
		n := slices.IndexFunc(list, func(d Delivery) bool { return past(d.Until, now) })
		if n < 0 {
			return list
		}
		if n > 0 {
			p.belt.giveBack(len(list) - n)
			return list[:n]
		}
		for n < len(list) && past(list[n].Until, now) {
			n++
		}
		ack := Acknowledge{Consumer: p.token}
		for i := range list[:n] {
			ack.Expired = append(ack.Expired, list[i].Seq)
		}
		p.belt.giveBack(len(list) - n)
		p.belt.done(list[:n])
		p.config.Consumers.Tell(ack)
	}
}

// stored takes what became of a load.
func (p *pump) stored() {
	l := p.load
	p.load = nil
	ack := Acknowledge{Consumer: p.token}
	var why error
	n := 0
	for ; n < l.taken; n++ {
		d, err := &l.list[n], l.errs[n]
		repeated := errors.Is(err, types.ErrRepeated)
		if err != nil && !repeated && p.config.ForGood(err) && l.taken == 1 {
			p.config.Logger.Warn("a message of the broker can never be taken by one of those for whom it is: it becomes a dead letter",
				"for", p.config.Consumer, "seq", d.Seq, "topic", d.Message.Topic, "error", err)
			ack.Dead = append(ack.Dead, Letter{d.Seq, p.config.Consumer + ": " + err.Error()})
			continue
		}
		if err != nil && !repeated {
			why = err
			break
		}
		p.hand(d, repeated)
		ack.Done = append(ack.Done, d.Seq)
	}
	p.belt.done(l.list[:n])
	if n > 0 {
		if len(ack.Dead) > 0 {
			self, try := p.self, p.try
			ack.Reply = func(_ Noted, err error) {
				if err != nil {
					self.Tell(pumpRefused{try, err})
				}
			}
		}
		p.config.Consumers.Tell(ack)
	}
	switch {
	case why == nil:
		p.ill, p.alone = false, false
	case p.config.ForGood(why): // it may be the fault of another one that went with it
		p.alone = true
		p.belt.back()
	default:
		p.belt.back()
		p.rest(why)
	}
}

// hand hands on what is stored.
func (p *pump) hand(d *Delivery, repeated bool) {
	if d.Seq <= p.handed {
		return
	}
	p.handed = d.Seq
	if repeated && d.Redelivered && p.before {
		return
	}
	p.config.Deliver(d.Message)
}

// rest waits before the next attempt.
func (p *pump) rest(why error) {
	if why != nil && !p.ill {
		p.config.Logger.Warn("messages of the broker cannot be handed on; they are kept, and that is tried again",
			"for", p.config.Consumer, "error", why, "again_in", p.config.RetryAfter)
	}
	p.ill = p.ill || why != nil
	if p.resting {
		return
	}
	p.resting = true
	self := p.self
	p.config.Clock.AfterFunc(p.config.RetryAfter, func() { self.Tell(pumpDue{}) })
}

// interrupted implements role: what was not acknowledged is given again.
func (p *pump) interrupted(PumpMessage) { p.leave() }

// stopping implements role.
func (p *pump) stopping() { p.leave() }
