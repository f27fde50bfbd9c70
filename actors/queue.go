package actors

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// QueueConfig says which queue to run and how. Name and Open must be set.
type QueueConfig struct {
	Name string // "<connection>/outgoing"
	Open func(context.Context) (persistence.Queue, error)

	// SyncWithin is how long a message may be committed and not synced: 0 means
	// that it is synced before it counts as committed, less than 0 that it is
	// synced when the queue is closed.
	SyncWithin time.Duration

	CommitDelay time.Duration // wait so long for more messages before a commit

	// KeepSent is how long what was sent is kept, so that a Replay finds it; 0: not
	// at all.
	KeepSent time.Duration

	// MaxAge is how long after its acceptance a message may leave; what is older
	// has expired. 0: for ever.
	MaxAge time.Duration

	// MaxMessages and MaxBytes bound what is on its way into the store; 4,096
	// and 8 MiB if 0.
	MaxMessages int
	MaxBytes    int64

	Limits Limits

	// MaxOpen is how many exchanges at QoS 2 of one client are remembered, see
	// types.Open; of more the oldest are forgotten. 1,000 if 0.
	MaxOpen int

	// Fatal says of an error of the very first Open that it is of no use to try
	// again: the queue then stays closed, and whoever started it is told by
	// Describe. nil: of none.
	Fatal func(error) bool

	// ReopenAfter is the wait before the store is opened again after an error;
	// it doubles with each failure, up to a minute. 5 s if 0.
	ReopenAfter time.Duration

	Compactor          Ref[CompactorMessage] // zero: nobody compacts
	CompactionInterval time.Duration         // 0: only when there is much to do

	// Committed is told how long commits take, see types.Latencies.
	Committed func(time.Duration)

	Changed func()       // called when the status changed; must not block. nil: nobody is told
	Clock   Clock        // nil: the real one
	Logger  *slog.Logger // nil: none
}

func (c *QueueConfig) setDefaults() {
	if c.MaxMessages == 0 {
		c.MaxMessages = 4096
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 8 << 20
	}
	if c.MaxOpen == 0 {
		c.MaxOpen = defaultMaxOpen
	}
	if c.ReopenAfter == 0 {
		c.ReopenAfter = 5 * time.Second
	}
	if c.Fatal == nil {
		c.Fatal = func(error) bool { return false }
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
	c.Logger = c.Logger.With("queue", c.Name)
}

// Queue is a running queue. It may be used concurrently.
type Queue struct {
	Ref[QueueMessage]
	admission *Admission
	limits    atomic.Pointer[Limits] // those that it keeps to
	status    atomic.Pointer[queueStatus]
	syncs     atomic.Uint64 // that went well
	dropped   drops
	claims    claims
	origins   origins
}

// Admission is what an Enqueue needs a share of.
func (q *Queue) Admission() *Admission { return q.admission }

// SpawnQueue starts the actor that owns the queue of that name, and opens the
// store. If that fails the queue runs all the same, refuses what it is given,
// says so in its status and tries again.
func SpawnQueue(s *System, c QueueConfig) (*Queue, error) {
	c.setDefaults()
	q := &Queue{admission: NewAdmission(Cost{c.MaxMessages, c.MaxBytes})}
	q.limits.Store(&c.Limits)
	q.admission.setLimits(c.Limits.admitted()) // before anybody asks, and not when the actor comes to it
	q.status.Store(&queueStatus{})
	k := &queueKeeper{config: c, queue: q, watched: make(chan struct{})}
	k.config.Changed = func() {
		k.account()
		c.Changed()
	}
	ref, err := spawn(s, c.Name, func(self Ref[QueueMessage]) role[QueueMessage] {
		k.life++
		return &queue{queueKeeper: k, self: self, deciding: deciding{origins: &q.origins}}
	}, k.giveBack)
	if err != nil {
		return nil, err
	}
	q.Ref = ref
	c.Compactor.Tell(Watch{q, c.CompactionInterval})
	close(k.watched)
	return q, nil
}

// queueKeeper is what outlives the failures of a queue. Only the actor uses it.
type queueKeeper struct {
	config     QueueConfig
	queue      *Queue
	connection drainer
	life       uint64        // number of the role that lives
	unanswered Cost          // of what is stored, and still admitted
	recalls    uint64        // how many Recalls were told
	attempts   int           // to open the store, since it last worked
	opened     bool          // the store was, at least once
	failures   uint64        // of the actor
	watched    chan struct{} // closed when the compactor was told of the queue
	remembering
	behind bool // what is taken from the mailbox was told before the last of them
}

// giveBack answers for what the queue will never come to.
func (k *queueKeeper) giveBack(m QueueMessage, err error) {
	switch m := m.(type) {
	case Enqueue:
		k.queue.admission.Release(CostOf(m.Entries))
		m.Done.Stored(0, err)
	case EnqueueOnce:
		k.giveBack(m.Enqueue, err)
	case Note:
		m.Reply.answer(Noted{}, err)
	case ReadMarks:
		m.Reply.answer(Marks{}, err)
	case Fetch:
		m.Reply.answer(Fetched{}, err)
	case Clear:
		m.Reply.answer(Cleared{}, err)
	case Requeue:
		m.Reply.answer(Requeued{}, err)
	case Replay:
		m.Reply.answer(Replayed{}, err)
	case Compact:
		m.Reply.answer(persistence.Compaction{}, err)
	case Describe:
		m.Reply.answer(k.queue.Status(), err)
	}
}

// queue is the actor that owns one persistence.Queue.
type queue struct {
	*queueKeeper
	self    Ref[QueueMessage]
	handle  persistence.Queue // nil while there is none
	trouble error             // why not, a *types.StoreError

	committing
	deciding
	importing
	clearing
	shortage
	aging
	bursts
	pendingSettled
	keeping
	replaying
	overflowing
	supplying

	store     persistence.StoreID // of handle
	committed types.Seq           // what Fetch may see
	floor     types.Seq           // the ack floor that was found in it
}

var _ role[QueueMessage] = (*queue)(nil)

// context is for calls of the store: they end when they end.
func (a *queue) context() context.Context { return context.Background() }

func (a *queue) started() { a.open() }

func (a *queue) receive(m QueueMessage) {
	switch m := m.(type) {
	case Enqueue:
		if a.behind { // what came before it was not stored
			a.giveBack(m, types.ErrInterrupted)
			return
		}
		a.enqueue(m, nil)
	case EnqueueOnce:
		if a.behind {
			a.giveBack(m, types.ErrInterrupted)
			return
		}
		a.enqueue(m.Enqueue, &onceRequest{once: m.Once})
	case Note:
		if a.behind {
			a.giveBack(m, types.ErrInterrupted)
			return
		}
		a.note(m)
	case ReadMarks:
		a.readMarks(m)
	case caughtUp:
		a.behind = a.behind && m.failure != a.failures
	case flush:
		a.flush()
	case settleNow:
		a.settleNow()
	case synced:
		a.synced(m.sync)
	case syncDue:
		a.syncDue(m)
	case Settle:
		a.settle(m)
	case Fetch:
		a.fetch(m)
	case Attach:
		a.attach(m)
	case Clear:
		a.clear(m)
	case Requeue:
		a.requeue(m)
	case Replay:
		a.replay(m)
	case replayNext:
		a.replayNext(m)
	case lapseDue:
		a.lapseDue(m)
	case recalled:
		if m.token == a.token {
			a.age(m)
			return
		}
		a.recalled(m)
	case clearNext:
		a.clearNext(m)
	case ageDue:
		a.ageDue(m)
	case Compact:
		a.compact(m)
	case Configure:
		a.setLimits(m.Limits)
		a.config.CommitDelay = m.CommitDelay
		a.config.CompactionInterval = m.CompactionInterval
		a.setKeepSent(m.KeepSent)
		a.setMaxAge(m.MaxAge)
		a.config.Compactor.Tell(Watch{a.queue, m.CompactionInterval})
		a.config.Changed() // what is full may no longer be
	case Describe:
		m.Reply.answer(a.queue.Status(), a.trouble)
	case roomDue:
		a.roomDue(m)
	case burstDue:
		a.burstDue(m)
	case reopen:
		if m.life == a.life && a.handle == nil {
			a.open()
		}
	}
}

// interrupted implements role: all who wait learn that it is not known what
// became of their request. So do those who are still in the mailbox with
// messages: whoever told several one after the other must not find a later one
// stored and an earlier one not.
func (a *queue) interrupted(current QueueMessage) {
	switch current.(type) {
	case nil, Enqueue, EnqueueOnce: // those are waiting, or answered
	default:
		a.giveBack(current, types.ErrInterrupted)
	}
	a.fail(types.ErrInterrupted)
	a.failures++
	a.behind = true
	a.self.Tell(caughtUp{a.failures})
	a.config.Changed()
}

// stopping implements role: what was told before the end is stored.
func (a *queue) stopping() {
	if a.kept != nil { // the last chance to record what is remembered
		a.open()
	}
	if a.handle != nil {
		a.write()
	}
	if a.handle != nil {
		err := a.awaitSyncs()
		if err == nil { // else the next answer could be a wrong yes
			err = a.handle.Sync(a.context())
		}
		if err != nil {
			a.fail(a.storeError("sync", err))
		} else {
			a.commit(a.lastWritten, a.writes)
			a.answer(&a.strict, len(a.strict), nil)
		}
	}
	a.endBursts()
	a.stopAging()
	a.fail(types.ErrClosed)
	a.queue.admission.close(types.ErrClosed)
	a.config.Changed()
}

func (a *queue) attach(m Attach) {
	a.connection = drainer{m.Connection, m.Consumers}
	a.forgetRecall()
	if a.token != 0 { // it was asked of the one before
		a.age(recalled{unknown: true})
	}
	if a.handle != nil {
		a.tellOpened()
	}
}

// fetch answers with what is committed. A record that somebody has settled and
// that is not written as such yet must not leave a second time.
func (a *queue) fetch(m Fetch) {
	switch {
	case a.kept != nil:
		a.fetchKept(m)
		return
	case a.handle == nil:
		m.Reply.answer(Fetched{}, a.trouble)
		return
	case a.clearing.busy():
		a.parked = append(a.parked, m)
		return
	case m.Dead || m.Sent:
		a.fetchLeft(m)
		return
	case a.settledAbove(m.After) && !a.writeSettled():
		m.Reply.answer(Fetched{}, a.trouble)
		return
	}
	f := Fetched{Through: max(m.After, a.committed), Last: a.committed, Store: a.store}
	if m.After < a.committed {
		records, err := a.handle.Read(a.context(), nil, m.After, m.Limit)
		if err != nil {
			a.failRead(a.storeError("read", err))
			m.Reply.answer(Fetched{}, a.trouble)
			return
		}
		if len(records) == 0 { // the last ones may just have turned out to be unreadable
			a.config.Changed()
		}
		for n := len(records); n > 0 && records[n-1].Seq > a.committed; n-- {
			records = records[:n-1]
		}
		if n := len(records); n > 0 {
			f.Records, f.Through = records, records[n-1].Seq
		}
	}
	if m.safe && a.keepUnsafe(&f, m.After) {
		m.Reply.answer(f, nil)
		return
	}
	if m.drain {
		a.served(m, &f, a.committed)
	}
	m.Reply.answer(f, nil)
}

// compact does one step of it. If there is to be another one, what this one has
// written is synced before that is told, while the queue serves others: the next step
// then need not wait for the disk.
func (a *queue) compact(m Compact) {
	if a.handle == nil {
		m.Reply.answer(persistence.Compaction{}, a.trouble)
		return
	}
	c, ok := a.handle.(persistence.Compacter)
	if !ok {
		m.Reply.answer(persistence.Compaction{}, nil)
		return
	}
	did, err := c.Compact(a.context(), m.MaxBytes)
	if err != nil {
		a.fail(a.storeError("compact", err))
		m.Reply.answer(did, a.trouble)
		return
	}
	a.config.Changed()
	if !did.More {
		m.Reply.answer(did, nil)
		return
	}
	handle, ctx := a.handle, a.context()
	go func() {
		_ = handle.Sync(ctx) // the next call of the store says what is wrong
		m.Reply.answer(did, nil)
	}()
}
