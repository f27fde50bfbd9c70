package actors

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// ConnectionConfig says which broker a queue is drained into, and how. Name,
// Queue, and Brokers or Dialer must be set.
type ConnectionConfig struct {
	Name string

	// Brokers are those to link to. Each attempt goes through them in this
	// order, until one takes us; while that is another than the first, the first
	// is looked at after FailBack (10 s if 0), and then at growing intervals, and
	// linked to again when it can be reached.
	Brokers  []Broker
	FailBack time.Duration

	// SharedSession says that the brokers are one cluster: what one knows of our
	// session, all do.
	SharedSession bool

	// Dialer stands for one broker that is always the same, if there are no
	// Brokers: its session is used as it is found.
	Dialer broker.Dialer

	// Options is asked before each attempt, so that credentials are read again.
	// It may block until ctx ends. nil: the zero ConnectOptions.
	Options func(ctx context.Context) (broker.ConnectOptions, error)

	Queue   *Queue
	Session *Queue              // where the mark of the session is kept [S3.4]; nil: Queue
	Inbound Ref[InboundMessage] // takes what the broker sends
	Filters []broker.Filter     // what is subscribed to

	// MoreFilters says that others were subscribed to, which are not known yet: none
	// is given back.
	MoreFilters bool

	Window      int   // messages in flight at most; 100 if 0
	QoS2Window  int   // of them with QoS 2, at most; 20 if 0
	WindowBytes int64 // their bytes at most, and those of what is fetched ahead; 1 MiB if 0

	Birth *types.Message // published on each new link, before all others; nil: nothing
	Close *types.Message // published before each DISCONNECT; nil: nothing

	// MaxQoS is the highest that messages leave with. What was sent with QoS 2
	// before, over the session that there is, is sent again with QoS 2.
	MaxQoS      types.QoS
	ClearRetain bool // messages leave without the retain flag

	// AssumeDelivered says of a broker that has lost our session that it had
	// delivered what it was about to at QoS 2; else that is sent again.
	AssumeDelivered bool

	// MaxAttempts is after how many links that ended with the same message first
	// in line that message becomes a dead letter; 10 if 0, never if negative.
	MaxAttempts int

	Rate Rate // what is sent per second at most

	DialTimeout  time.Duration // for one attempt; 30 s if 0
	StallTimeout time.Duration // redial after so long without an acknowledgement; 60 s if 0, never if negative
	Backoff      Backoff

	Paused bool // there is no link before the first Resume

	// After is the connection, which has ended, that drained the queue before: what
	// it sent and was not acknowledged is marked as sent before. nil: none.
	After *Connection

	// Delivered is told how long messages take until the broker has them, see
	// types.Latencies.
	Delivered func(time.Duration)

	Changed func()       // called when the status changed; must not block. nil: nobody is told
	Clock   Clock        // nil: the real one
	Logger  *slog.Logger // nil: none
}

func (c *ConnectionConfig) setDefaults() {
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 10
	}
	if c.Options == nil {
		c.Options = func(context.Context) (broker.ConnectOptions, error) { return broker.ConnectOptions{}, nil }
	}
	if c.Session == nil {
		c.Session = c.Queue
	}
	if len(c.Brokers) == 0 {
		c.Brokers = []Broker{{Dialer: c.Dialer}}
	}
	if c.FailBack <= 0 {
		c.FailBack = 10 * time.Second
	}
	if c.Window <= 0 {
		c.Window = 100
	}
	if c.QoS2Window <= 0 {
		c.QoS2Window = 20
	}
	if c.WindowBytes <= 0 {
		c.WindowBytes = 1 << 20
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = 30 * time.Second
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = time.Minute
	}
	if c.Backoff.Random == nil {
		c.Backoff.Random = rand.Float64
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
	c.Logger = c.Logger.With("conn", c.Name)
}

// Connection is a running connection. It may be used concurrently.
type Connection struct {
	Ref[ConnectionMessage]
	status   atomic.Pointer[ConnectionStatus]
	inFlight atomic.Int64
	resent   atomic.Uint64
	unknown  atomic.Uint64
	left     atomic.Pointer[progress] // when it has ended
}

// progress is how far the messages of a queue were ever sent.
type progress struct {
	store      persistence.StoreID
	sent       types.Seq
	doubt      doubt
	handshakes handshakes
	reserving  reserving
}

// SpawnConnection starts the actor that owns the link of that name, attaches it
// to its queue, and begins to dial.
func SpawnConnection(s *System, c ConnectionConfig) (*Connection, error) {
	c.setDefaults()
	h := &Connection{}
	h.status.Store(&ConnectionStatus{State: types.Offline, Since: c.Clock.Now(), Broker: c.Brokers[0].Name})
	k := &connectionKeeper{config: c, handle: h, backoff: c.Backoff, paused: c.Paused, granted: make(map[string]types.QoS), causes: make(map[types.Seq]string)}
	if c.After != nil {
		if p := c.After.left.Load(); p != nil {
			k.store, k.sent, k.doubt, k.handshakes, k.reserving = p.store, p.sent, p.doubt, p.handshakes, p.reserving
		}
	}
	ref, err := spawn(s, c.Name, func(self Ref[ConnectionMessage]) role[ConnectionMessage] { return newConnection(k, self) }, k.giveBack)
	if err != nil {
		return nil, err
	}
	h.Ref = ref
	return h, nil
}

// connectionKeeper is what outlives the failures of a connection. Only the
// actor uses it.
type connectionKeeper struct {
	config  ConnectionConfig
	handle  *Connection
	backoff Backoff
	attempt uint64 // number of the latest attempt to dial
	token   uint64 // number of the latest fetch
	paused  bool
	ended   bool // by Finish

	store   persistence.StoreID  // of the queue
	maxAge  time.Duration        // see QueueConfig
	sent    types.Seq            // the highest seq that a link was ever given by this process
	granted map[string]types.QoS // what the broker has granted to the session: filter → QoS that was asked for
	doubt   doubt
	notes   int                  // Notes of what is released that are not answered
	lost    bool                 // what is released is to be withdrawn, and that is not stored
	renew   bool                 // the session is to begin anew
	causes  map[types.Seq]string // of what was given up
	suspect suspect
	fight   fight
	returns returning
	handshakes
	reserving
}

// giveBack answers for what the connection will never come to.
func (k *connectionKeeper) giveBack(m ConnectionMessage, err error) {
	switch m := m.(type) {
	case Finish:
		m.Reply.answer(int(k.handle.inFlight.Load()), err)
	case Ping:
		m.Reply.answer(struct{}{}, err)
	case dialed:
		if m.link != nil {
			m.link.Close(false)
		}
	}
}

// connection is the actor that owns the link to the broker.
type connection struct {
	*connectionKeeper
	self Ref[ConnectionMessage]

	dialing
	sending
	releasing
	expiring
	numbering
	parting
	subscribing
}

var _ role[ConnectionMessage] = (*connection)(nil)

func newConnection(k *connectionKeeper, self Ref[ConnectionMessage]) *connection {
	c := &connection{connectionKeeper: k, self: self}
	c.emptyWindow()
	c.pace = newPace(k.config.Rate)
	return c
}

func (c *connection) emptyWindow() {
	c.window = window{count: c.config.Window, exact: c.config.QoS2Window, bytes: c.config.WindowBytes}
}

func (c *connection) started() {
	c.config.Queue.Tell(Attach{Connection: c.self})
	switch {
	case c.paused:
		c.become(types.Paused, nil)
	case c.ended:
		c.become(types.Offline, nil)
	default:
		c.dial()
	}
}

func (c *connection) receive(m ConnectionMessage) {
	switch m := m.(type) {
	case linkEvent:
		if m.attempt == c.attempt {
			c.happened(m.event)
		}
	case fetched:
		c.fetched(m)
	case Settled:
		c.window.settled(m.Done)
		c.dropAhead(m.Done)
		c.handshakes.done(m.Done)
		c.risen = true
		c.forgetCauses(m.Done)
	case journaled:
		c.journaled(m)
	case withdrawn:
		c.withdrawn(m)
	case abandonedIs:
		c.abandonedIs(m)
	case expiredNoted:
		c.expiredNoted(m)
	case reserved:
		c.reserved(m)
	case grounded:
		c.grounded(m)
	case Available:
		c.last = max(c.last, m.Last)
	case supplied:
		c.supplied(m)
	case Opened:
		c.opened(m)
	case SetMaxAge:
		c.maxAge = m.MaxAge
	case Recall:
		if !m.keep {
			c.forgetFetched()
			c.confirm = notAsked // more may be abandoned now
		}
		c.config.Queue.Tell(c.recalled(m.token))
	case dialed:
		c.dialed(m)
	case attemptDue:
		if m.attempt == c.attempt && c.waiting {
			c.dial()
		}
	case Retry:
		c.acquit()
		if c.waiting {
			c.dial()
		}
	case Redial:
		c.redial()
	case progressDue:
		c.progressDue(m)
	case Pause:
		c.pause()
	case Resume:
		c.acquit()
		c.resume()
	case SetRate:
		c.setRate(m)
	case SetFilters:
		c.setFilters(m)
	case paceDue:
		c.paced = nil
	case givenUpBefore:
		c.givenUpBefore(m)
	case Finish:
		c.finish(m)
	case leaveDue:
		c.leaveDue(m)
	case trying:
		c.trying(m)
	case lookDue:
		c.lookDue(m)
	case looked:
		c.looked(m)
	case calm:
		c.calm(m)
	case Ping:
		m.Reply.answer(struct{}{}, nil)
	}
	c.pull()
	c.handle.inFlight.Store(int64(c.window.open))
}

// happened takes what the link tells. What it tells before Dial has returned is
// kept until then.
func (c *connection) happened(e broker.Event) {
	if c.link == nil {
		c.early = append(c.early, e)
		return
	}
	switch e := e.(type) {
	case broker.Acked:
		c.acked(e)
	case broker.Written:
		c.written(e)
	case broker.Withheld:
		c.withheld(e)
	case broker.Received:
		c.useful = true
		c.config.Inbound.Tell(Arrived{c.link, e.Packets})
	case broker.Subscribed:
		c.subscribed(e)
	case broker.Unsubscribed:
		c.unsubscribed(e)
	case broker.Down:
		c.down(e.Err)
	}
}

// opened begins again with a queue that has opened its store: what it was told
// and has not answered is told again.
func (c *connection) opened(m Opened) {
	late := c.store == (persistence.StoreID{}) && c.waiting
	if c.store != m.Store {
		replaced := c.store != (persistence.StoreID{})
		if replaced {
			c.reserving = reserving{} // of that one: what it had in flight is owed now
		}
		if c.link != nil && (c.handed > 0 || replaced && c.apart()) {
			c.config.Logger.Warn("the queue is another one, connecting anew")
			c.hangUp(false)
			if !c.ended {
				c.dial()
			}
		}
		c.store, c.sent = m.Store, 0
		c.doubt = doubt{upTo: m.Last}
		c.handshakes.opened(m.Last)
		c.floor = 0
		clear(c.causes)
		c.emptyWindow()
		c.askGivenUp()
	}
	c.last, c.unreadable, c.maxAge = m.Last, false, m.MaxAge
	c.forgetFetched()
	c.floor = max(c.floor, m.Floor)
	if done := c.window.unsettled(); len(done) > 0 {
		for i, d := range done {
			done[i] = c.doneAs(d.Range.First, d.Reason)
		}
		c.config.Queue.Tell(Settle{Done: done, Store: c.store})
	}
	c.journalAgain()
	if late { // what to greet the broker with may lie in the store
		c.dial()
	}
}

// interrupted implements role: the link is given up, for what it carries is no
// longer known.
func (c *connection) interrupted(current ConnectionMessage) {
	if current != nil {
		c.giveBack(current, types.ErrInterrupted)
	}
	c.hangUp(false)
	c.answerFinish(types.ErrInterrupted)
	c.become(types.Offline, errors.New("the connection failed by a bug and was started again: see the log"))
}

// stopping implements role.
func (c *connection) stopping() {
	c.handle.left.Store(&progress{c.store, c.sent, c.doubt, c.handshakes, c.reserving})
	c.hangUp(true)
	c.answerFinish(nil)
	c.become(types.Offline, nil)
}
