package actors

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// maxConsumers is how many a queue may have, and maxConsumerBytes what all
	// their marks may take: they are part of the state of the queue.
	maxConsumers     = 10_000
	maxConsumerBytes = 5 << 20

	// maxSubscriptions bounds about what all subscriptions take in memory, in
	// bytes: each so much, and the nodes of the tree that they are in.
	maxSubscriptions  = 128 << 20
	subscriptionBytes = 650

	// MaxConsumerFilters bounds the filters of one consumer, in bytes.
	MaxConsumerFilters = 128 << 10

	// longestAbsence is how much of a time during which we did not run counts
	// (S7.7): a clock that was wrong must not end anything.
	longestAbsence = 30 * 24 * time.Hour
)

var errTooManyConsumers = fmt.Errorf("%w: more sessions or subscriptions than can be kept", types.ErrQueueFull)

// ConsumersConfig says whose consumers to run. Name and Queue must be set.
type ConsumersConfig struct {
	Name  string // "<connection>/consumers"
	Queue *Queue // nobody else may be attached to it

	// Established says which consumers there are from the start, see Establish;
	// Named begins the names of the others. Without either all are others.
	Established []Established
	Named       string

	// Subscribed is called when Subscriptions changed; it must not block. nil: nobody
	// is told.
	Subscribed func()

	Changed func()       // called when the status changed; must not block. nil: nobody is told
	Clock   Clock        // nil: the real one
	Logger  *slog.Logger // nil: none
}

// Consumers are the durable consumers of a queue: readers with a name, each with
// filters and a cursor that are stored. A message leaves the queue when all to
// whom it belongs have acknowledged it. It may be used concurrently.
type Consumers struct {
	Ref[ConsumersMessage]
	index           consumerIndex
	count, inFlight atomic.Int64
	subscriptions   atomic.Pointer[[]Subscription]
}

// Wants says whether messages on topic may belong to a consumer: then they have
// to be stored in the queue.
func (c *Consumers) Wants(topic string) bool { return c.index.wants(topic) }

// Count is how many consumers there are.
func (c *Consumers) Count() int { return int(c.count.Load()) }

// InFlight is how many messages were delivered and not acknowledged.
func (c *Consumers) InFlight() int { return int(c.inFlight.Load()) }

// SpawnConsumers starts the actor that owns the consumers of a queue.
func SpawnConsumers(s *System, c ConsumersConfig) (*Consumers, error) {
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Subscribed == nil {
		c.Subscribed = func() {}
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("queue", c.Queue.Name())
	h := &Consumers{}
	k := &consumersKeeper{config: c, handle: h, established: c.Established}
	ref, err := spawn(s, c.Name, func(self Ref[ConsumersMessage]) role[ConsumersMessage] {
		k.life++
		return &consumers{consumersKeeper: k, self: self}
	}, k.giveBack)
	if err != nil {
		return nil, err
	}
	h.Ref = ref
	return h, nil
}

// consumersKeeper is what outlives the failures of the actor.
type consumersKeeper struct {
	config ConsumersConfig
	handle *Consumers
	life   uint64
	joins  uint64
	reads  uint64 // how often the stored consumers were asked for

	established []Established
}

// giveBack answers for what the actor will never come to.
func (k *consumersKeeper) giveBack(m ConsumersMessage, err error) {
	switch m := m.(type) {
	case Join:
		m.Reply.answer(Joined{}, err)
	case Remove:
		m.Reply.answer(false, err)
	case Establish:
		m.Reply.answer(Noted{}, err)
	case ListConsumers:
		m.Reply.answer(nil, err)
	case Subscribe:
		m.Reply.answer(nil, err)
	case Unsubscribe:
		m.Reply.answer(nil, err)
	case Acknowledge:
		m.Reply.answer(Noted{}, err)
	case consumerNoted:
		m.then(false, err)
	}
}

// consumers is the actor that owns the consumers of a queue. What it knows is in
// the store: after a failure it is read again.
type consumers struct {
	*consumersKeeper
	self Ref[ConsumersMessage]

	store  persistence.StoreID
	maxAge time.Duration // see QueueConfig
	loaded bool
	early  []ConsumersMessage // until it is loaded
	byName map[string]*consumer
	bytes  int // of all marks, about

	resubscribed bool            // what Subscriptions returns may be out of date
	removed      map[string]bool // and that is not known to be recorded

	distributing
	settlement
	sweeping
	letters letters
}

var _ role[ConsumersMessage] = (*consumers)(nil)

func (a *consumers) started() {
	a.reads++ // what an earlier role has asked for does not count
	a.handle.index.clear()
	a.byName, a.removed = make(map[string]*consumer), make(map[string]bool)
	a.config.Queue.Tell(Attach{Consumers: a.self})
}

func (a *consumers) receive(m ConsumersMessage) {
	switch m := m.(type) {
	case Establish:
		a.established = m.List
		if !a.loaded {
			a.putOff(m)
			return
		}
		a.establish(m)
	case Join, Remove, ListConsumers:
		if !a.loaded {
			a.putOff(m)
			return
		}
		a.handleLate(m)
	case Leave:
		a.leave(m)
	case Subscribe:
		a.subscribe(m)
	case Unsubscribe:
		a.unsubscribe(m)
	case Acknowledge:
		a.acknowledge(m)
	case Available:
		a.last = max(a.last, m.Last)
		a.readOn()
	case Opened:
		a.opened(m)
	case Settled:
		a.settled(m)
	case SetMaxAge:
		a.maxAge = m.MaxAge
	case Recall:
		a.recall(m)
	case removed:
		a.forgetRemoved(m.set)
	case consumerFetched:
		if m.life == a.life {
			a.fetched(m)
		}
	case consumersRead:
		if m.read == a.reads && !a.loaded {
			a.load(m)
		}
	case consumerNoted:
		m.then(m.life == a.life, m.err)
	case consumerExpired:
		a.expired(m)
	case consumersFlush:
		a.flush()
	}
	a.handle.count.Store(int64(len(a.byName)))
	a.handle.inFlight.Store(int64(a.outstanding))
	if a.resubscribed && a.loaded {
		a.resubscribed = false
		a.tellSubscriptions()
	}
}

// putOff keeps m until the stored consumers are known, unless it may take long.
func (a *consumers) putOff(m ConsumersMessage) {
	if err := a.config.Queue.Trouble(); err != nil {
		a.giveBack(m, err)
		return
	}
	a.early = append(a.early, m)
}

func (a *consumers) handleLate(m ConsumersMessage) {
	switch m := m.(type) {
	case Join:
		a.join(m)
	case Remove:
		a.remove(m)
	case Establish:
		a.establish(m)
	case ListConsumers:
		m.Reply.answer(a.list(), nil)
	}
}

// opened begins with a store, or goes on with it once the queue has opened it
// anew: then everything that may not have been recorded is told again.
func (a *consumers) opened(m Opened) {
	a.last, a.maxAge = m.Last, m.MaxAge
	if !a.loaded || a.store != m.Store {
		a.read(m)
		return
	}
	a.stopFetching()
	a.tellAgain()
	a.sweepOn()
	a.readOn()
	for _, c := range a.byName {
		a.fetchFor(c)
	}
}

// read asks for what is stored.
func (a *consumers) read(m Opened) {
	if a.loaded {
		a.config.Logger.Warn("the queue is another one: its sessions are read anew")
		a.endAll(types.ErrInterrupted)
		a.settlement = settlement{armed: a.armed, narrowed: make(map[*consumer]bool)} // these numbers mean nothing any more
		a.letters = letters{}
	}
	a.loaded, a.store = false, m.Store
	a.handle.index.clear()
	a.reads++
	self, read, last := a.self, a.reads, m.Last
	a.config.Queue.Tell(ReadMarks{Reply: func(marks Marks, err error) { self.Tell(consumersRead{read, last, marks, err}) }})
}

// load makes the consumers that are stored.
func (a *consumers) load(m consumersRead) {
	if m.err != nil { // the queue is in trouble, and tells when that is over
		a.refuseEarly(m.err)
		return
	}
	a.byName = make(map[string]*consumer)
	a.handle.index.clear()
	a.bytes, a.distributing = 0, distributing{head: m.last, last: max(a.last, m.last)}
	a.settlement, a.sweeping = settlement{armed: a.armed, narrowed: make(map[*consumer]bool)}, sweeping{}
	a.letters = letters{}
	for _, mark := range m.marks.List {
		a.loadMark(mark)
	}
	a.findEstablished()
	now := a.config.Clock.Now()
	for name, c := range a.byName {
		if c.filters == nil { // else its client would not learn that it has to subscribe again
			delete(a.byName, name)
			a.forgetMarks(name, func(error) {})
			continue
		}
		a.restore(c, now)
	}
	a.resubscribed = true
	a.handle.index.complete() // not before: what nobody wants is not stored
	a.loaded = true
	a.dropLetters()
	a.sweep()
	early := a.early
	a.early = nil
	for _, e := range early {
		a.handleLate(e)
	}
	a.readOn()
	a.config.Changed()
}

// loadMark takes one mark. One that cannot be read is logged. A consumer whose
// cursor is lost begins anew: it gets everything that is still stored and its own.
// One of which it is not known what it has subscribed to does not exist.
func (a *consumers) loadMark(mark persistence.Mark) {
	var err error
	if name, ok := strings.CutPrefix(mark.Key, ConsumerMark); ok {
		err = a.named(name).define(mark.Value)
	} else if name, ok := strings.CutPrefix(mark.Key, cursorMark); ok {
		err = a.named(name).place(mark.Value)
	} else if mark.Key == lettersMark {
		a.letters, err = readLetters(mark.Value)
	}
	if err != nil {
		a.config.Logger.Error("a stored session cannot be read", "error", err)
	}
}

// named returns the consumer of that name, and makes it if there is none.
func (a *consumers) named(name string) *consumer {
	c := a.byName[name]
	if c == nil {
		c = &consumer{name: name}
		a.byName[name] = c
	}
	return c
}

// restore puts a consumer that was loaded to work.
func (a *consumers) restore(c *consumer, now time.Time) {
	for _, s := range c.filters {
		a.handle.index.set(c, s)
	}
	if c.narrowed {
		a.narrowed[c] = true
		a.widen(c)
	}
	c.fixed = c.fixedBytes()
	a.measure(c)
	if c.expiry == 0 { // damage has taken it: whoever comes next says how long
		c.expiry = longestAbsence
	}
	away := time.Duration(0)
	if c.left.IsZero() { // somebody was there when we stopped
		c.left = now
		a.soil(c)
	} else if away = now.Sub(c.left); away < 0 || away > longestAbsence {
		away = 0
	}
	c.left = now.Add(-away)
	if !a.isEstablished(c.name) {
		a.expireLater(c, c.expiry-away)
	}
}

// unknownSuspects stands for as many as may be in flight; Join says how many that
// are.
const unknownSuspects = -1

// measure keeps account of the size of the marks.
func (a *consumers) measure(c *consumer) {
	n := c.fixed + len(c.state) + 6*len(c.open)
	a.bytes += n - c.size
	c.size = n
}

// joinedBy returns the consumer of a token, nil if somebody else has it now.
func (a *consumers) joinedBy(t Token) *consumer {
	c := a.byName[t.name]
	if c == nil || c.receiver == nil || c.token != t {
		return nil
	}
	return c
}

// dismiss ends the receiver of c, if there is one.
func (a *consumers) dismiss(c *consumer, why error) {
	r := c.receiver
	if r == nil {
		return
	}
	a.outstanding -= len(c.given)
	c.stop()
	if why != nil {
		r.Ended(why)
	}
}

// refuseEarly answers those who wait for the consumers to be loaded.
func (a *consumers) refuseEarly(why error) {
	early := a.early
	a.early = nil
	for _, m := range early {
		a.giveBack(m, why)
	}
}

// endAll tells all receivers that nothing more comes.
func (a *consumers) endAll(why error) {
	for _, c := range a.byName {
		if c.expires != nil {
			c.expires()
			c.expires = nil
		}
		a.dismiss(c, why)
	}
	a.answerStrict(why)
}

// interrupted implements role.
func (a *consumers) interrupted(current ConsumersMessage) {
	if current != nil {
		a.giveBack(current, types.ErrInterrupted)
	}
	a.handle.index.clear()
	a.refuseEarly(types.ErrInterrupted)
	a.endAll(types.ErrInterrupted)
}

// stopping implements role: what is known is told to the queue.
func (a *consumers) stopping() {
	now := a.config.Clock.Now()
	for _, c := range a.byName {
		if c.receiver != nil && a.loaded {
			a.part(c, c.receiver.Recall())
			c.left = now
			a.soil(c)
		}
	}
	a.flush()
	a.refuseEarly(types.ErrClosed)
	a.endAll(types.ErrClosed)
}

// note tells the queue to record marks; then is called, in the actor, when that
// is done.
func (a *consumers) note(n Note, then func(ours bool, err error)) {
	self, life := a.self, a.life
	n.Store = a.store
	n.Reply = func(_ Noted, err error) { self.Tell(consumerNoted{life, then, err}) }
	a.config.Queue.Tell(n)
}

// expireLater ends c after d unless somebody joins.
func (a *consumers) expireLater(c *consumer, d time.Duration) {
	if c.expires != nil {
		c.expires()
	}
	a.joins++
	c.token = Token{c.name, a.joins}
	self, due := a.self, consumerExpired{c.token}
	c.expires = a.config.Clock.AfterFunc(max(d, 0), func() { self.Tell(due) })
}

func (a *consumers) expired(m consumerExpired) {
	c := a.byName[m.token.name]
	if c == nil || c.token != m.token || c.receiver != nil {
		return
	}
	a.config.Logger.Info("a session has expired", "client", c.name, "after", c.expiry)
	a.end(c)
	a.forgetMarks(c.name, func(error) {})
}

// end takes c out; its marks are still there.
func (a *consumers) end(c *consumer) {
	if c.expires != nil {
		c.expires()
		c.expires = nil
	}
	for f := range c.filters {
		a.handle.index.remove(c, f)
	}
	a.dismiss(c, errEnded)
	delete(a.byName, c.name)
	delete(a.narrowed, c)
	a.resubscribed = true
	a.bytes -= c.size
	a.sweep()
	a.config.Changed()
}

var errEnded = fmt.Errorf("%w: the session has ended", types.ErrClosed)

// forgetMarks records that there is no such consumer.
func (a *consumers) forgetMarks(name string, done func(error)) {
	a.removed[name] = true
	a.note(Note{Marks: noMarks(name)}, func(ours bool, err error) {
		if ours && err == nil {
			delete(a.removed, name)
		}
		done(err)
	})
}

func noMarks(name string) []persistence.Mark {
	return []persistence.Mark{{Key: ConsumerMark + name}, {Key: cursorMark + name}}
}
