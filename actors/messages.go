package actors

import (
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Commands are verbs, what happened is told in the past tense. Messages are
// values that nobody modifies once they were told, nor what they point to.

// QueueMessage is what a queue understands.
type QueueMessage interface{ queueMessage() }

type (
	// Enqueue stores entries, one after the other without gaps, in their order.
	// The sender has acquired CostOf(Entries) of the queue's Admission; the
	// queue releases it. Answer: Done, exactly once, when all are committed.
	Enqueue struct {
		Entries []persistence.Entry // one or more
		Note    *Note               // what is to be in the same commit as the last of them, and as all if they take 256 KiB at most, but for its Sync and Reply; nil: nothing
		Done    Completion
	}

	// EnqueueOnce is Enqueue for entries of which some may be repeats of what is
	// stored, or waits to be. A repeat is not stored again, and counts as
	// committed when all is that was told before it; see RepeatCompletion. Where a
	// message came from is in the same commit as the message, and stays when it has
	// left. One that is checked has an Origin: the source of rising numbers is a
	// store id or another short name, the id of an exchange is a packet id.
	EnqueueOnce struct {
		Enqueue
		Once []types.Once // of each entry; it may be shorter: the rest are new ones
	}

	// Note records state in one commit, without messages, behind all that was
	// told before. What it says is Done is not told as Settled: it must not be
	// what an attached connection may have fetched. A Note of nothing is recorded
	// when all before it is. Answer: Noted, when it is committed, which is as the
	// policy of the queue demands; or when it is synced.
	Note struct {
		Marks     []persistence.Mark // later ones replace earlier ones of the same key
		Done      []persistence.Done
		Released  persistence.Ranges
		Abandoned []persistence.Done
		Freed     persistence.Ranges
		Lapsed    persistence.Ranges
		Withdrawn bool // what is released, and not abandoned, is so no longer

		Closed     []types.Origin // exchanges that are over, see types.Open
		Ended      []SourceKey    // sources all of whose exchanges are over
		Attendance *Attendance    // nil: nothing is known of it

		Sync  bool                // answer, and sync at once, whatever the policy
		Store persistence.StoreID // see Settle; the answer of another one is types.ErrInterrupted
		Reply Reply[Noted]
	}

	// ReadMarks asks for the marks whose keys begin with Prefix, in order of keys,
	// as they are written behind all that was told before. Answer: Marks.
	ReadMarks struct {
		Prefix string
		Reply  Reply[Marks]
	}

	// Fetch asks for committed messages above After. Answer: Fetched.
	Fetch struct {
		After  types.Seq
		Limit  persistence.Limit
		Dead   bool // the dead letters, instead of what is pending
		Sent   bool // what was sent and is kept, instead of what is pending
		Reply  Reply[Fetched]
		drain  bool // by the attached connection, which wants to know when there is more
		safe   bool // nothing that has QoS 2 and is not synced, nor what follows it
		supply bool // what is committed next may be given without another Fetch, within Limit
	}

	// Settle says how messages left, and which marks go with that (a cursor).
	// Answer, to the attached connection, when it is written: Settled. It is not
	// synced for its own sake, and what comes after a failure of the store before
	// Opened is forgotten.
	Settle struct {
		Done  []persistence.Done
		Marks []persistence.Mark
		Store persistence.StoreID // of the store that is meant: another one ignores it. Zero: whichever it is
	}

	// Clear removes what is committed and not in flight. Answer, when that is synced
	// whatever the policy: Cleared; with a Seq an error that wraps types.ErrInFlight, or types.ErrUnknownMessage, if
	// that was not removed.
	Clear struct {
		Seq    types.Seq // only this one; 0: all
		Filter string    // only topics that it selects; "": all
		Before time.Time // only what was accepted before; zero: all
		Dead   bool      // dead letters, instead of what is pending
		Sent   bool      // what was sent and is kept, instead of what is pending
		Reply  Reply[Cleared]
	}

	// Requeue puts a dead letter into the queue again, as a new message. Answer,
	// when that is committed: Requeued, or an error that wraps
	// types.ErrUnknownMessage.
	Requeue struct {
		Seq   types.Seq
		Reply Reply[Requeued]
	}

	// Replay puts back what was sent and is kept, as new messages behind all others,
	// which are kept no longer as what they were. Answer, when all are synced:
	// Replayed. After an error a part may have been put back, which another Replay
	// leaves out.
	Replay struct {
		From   types.Seq     // from this number on
		Since  time.Duration // only what was sent within this time, nearly; 0: whenever
		Filter string        // only topics that it selects; "": all
		Again  bool          // also what was replayed before
		Retain bool          // retain flags are kept; else they are taken off
		Count  bool          // only say how many these are
		Reply  Reply[Replayed]
	}

	// Compact gives back disk space, one step. Answer: Compacted.
	Compact struct {
		MaxBytes int64 // to rewrite at most, about
		Reply    Reply[persistence.Compaction]
	}

	// Attach names who drains the queue: a connection, or consumers. It is
	// remembered when the queue fails. Answer, now and whenever the store was
	// opened anew: Opened.
	Attach struct {
		Connection Ref[ConnectionMessage]
		Consumers  Ref[ConsumersMessage]
	}

	// Configure changes what of a QueueConfig can change while the queue runs:
	// the fields of the same names.
	Configure struct {
		CommitDelay, CompactionInterval, MaxAge, KeepSent time.Duration
		Limits                                            Limits
	}

	// Describe asks how the queue does, behind all that it was told before.
	// Answer: its status, with the error that keeps it from storing, if any.
	Describe struct{ Reply Reply[types.QueueStatus] }

	// recalled answers Recall: these were sent over the present link, or
	// acknowledged and not settled yet, or the session knows of them; nothing else
	// that was fetched will leave. Beside them an earlier process may have sent some
	// with QoS 2, of which doubt says how many, unless that is unknown.
	recalled struct {
		token   uint64
		sent    persistence.Ranges
		doubt   doubt
		unknown bool
	}

	// caughtUp stands in the mailbox behind all that a queue was told before it
	// failed for the so many-th time.
	caughtUp struct{ failure uint64 }

	flush  struct{}
	synced struct{ sync *syncing }

	// settleNow is flush for what was settled, and nothing else.
	settleNow struct{}

	syncDue struct{ life uint64 }
	reopen  struct{ life uint64 }

	// lapseDue says that it is time to look for what need not be kept any longer.
	lapseDue   struct{ life uint64 }
	replayNext struct{ life uint64 }
	roomDue    struct{ life uint64 }
	burstDue   struct {
		life uint64
		why  types.Reason
	}
	clearNext struct{ life uint64 }
	ageDue    struct{ life, turn uint64 }
)

func (Enqueue) queueMessage()    {}
func (Note) queueMessage()       {}
func (ReadMarks) queueMessage()  {}
func (Fetch) queueMessage()      {}
func (Settle) queueMessage()     {}
func (Clear) queueMessage()      {}
func (Requeue) queueMessage()    {}
func (Replay) queueMessage()     {}
func (lapseDue) queueMessage()   {}
func (replayNext) queueMessage() {}
func (Compact) queueMessage()    {}
func (Attach) queueMessage()     {}
func (Configure) queueMessage()  {}
func (Describe) queueMessage()   {}
func (recalled) queueMessage()   {}
func (caughtUp) queueMessage()   {}
func (flush) queueMessage()      {}
func (settleNow) queueMessage()  {}
func (synced) queueMessage()     {}
func (syncDue) queueMessage()    {}
func (reopen) queueMessage()     {}
func (roomDue) queueMessage()    {}
func (burstDue) queueMessage()   {}
func (clearNext) queueMessage()  {}
func (ageDue) queueMessage()     {}

// Answers of a queue.
type (
	// Fetched carries messages, in order.
	Fetched struct {
		Records []persistence.Record
		Through types.Seq // there is nothing else up to here
		Last    types.Seq // the newest that there is to fetch
		Store   persistence.StoreID
	}

	// Cleared says how many messages Clear removed. What was in flight is not among
	// them: it is given up, and leaves as sent or as cleared when its handshake is over.
	Cleared struct{ Count uint64 }

	// Requeued says which number a dead letter got that is pending again.
	Requeued struct{ Seq types.Seq }

	// Replayed says how many messages a Replay has put back, and how many of those
	// that were meant it has left out because they were replayed before.
	Replayed struct{ Count, Left uint64 }

	// Noted says that a Note was recorded.
	Noted struct{}

	// Marks are marks of a store, which nobody may modify.
	Marks struct {
		Store persistence.StoreID
		List  []persistence.Mark
	}
)

// Completion is told, exactly once, what became of an Enqueue: the number of
// its first message once all are committed, or why they may not be stored: a
// *types.StoreError, types.ErrInterrupted or types.ErrClosed. It is called by
// the queue and must not block.
type Completion interface {
	Stored(first types.Seq, err error)
}

// CompletionFunc is a Completion.
type CompletionFunc func(first types.Seq, err error)

// Stored implements Completion.
func (f CompletionFunc) Stored(first types.Seq, err error) { f(first, err) }

// LogValue keeps payloads out of logs.
func (m Enqueue) LogValue() slog.Value { return slog.IntValue(len(m.Entries)) }

// LogValue keeps payloads out of logs.
func (m Fetched) LogValue() slog.Value { return slog.IntValue(len(m.Records)) }

// ConnectionMessage is what a connection understands.
type ConnectionMessage interface{ connectionMessage() }

type (
	// Available says that messages up to Last are committed.
	Available struct{ Last types.Seq }

	// Opened says that the queue has opened its store: what it was told before
	// and did not answer is forgotten.
	Opened struct {
		Store persistence.StoreID
		Last  types.Seq // the newest that is committed
		Floor types.Seq // a durable ack floor

		MaxAge time.Duration // see QueueConfig
	}

	// Settled says that these were recorded as having left.
	Settled struct{ Done persistence.Ranges }

	// Recall asks whoever drains the queue to forget what it fetched and has not sent;
	// unless that may be kept. Answer, to the queue: recalled.
	Recall struct {
		token uint64
		keep  bool
	}

	// SetMaxAge changes how long after its acceptance a message may be sent: see
	// QueueConfig.
	SetMaxAge struct{ MaxAge time.Duration }

	// Pause stops sending, lets what is in flight finish for some seconds, and
	// closes the link properly until Resume. The state is then Paused.
	Pause struct{}

	// Resume undoes Pause.
	Resume struct{}

	// Retry dials now, if the connection waits for its next attempt.
	Retry struct{}

	// Redial dials now, unless the connection is paused, and gives up a link, or an
	// attempt to get one, that there is: for when the network is another one.
	Redial struct{}

	// SetRate changes the rate of sending.
	SetRate struct{ Rate Rate }

	// SetFilters changes what is subscribed to: the fields Filters and MoreFilters of
	// ConnectionConfig. A filter that the broker has refused is asked for again over
	// the next link.
	SetFilters struct {
		List []broker.Filter
		More bool
	}

	paceDue struct{}

	// journaled says that what the connection had noted as released is committed.
	journaled struct {
		attempt uint64
		try     int
		count   int // so many of journaling, the first ones
		err     error
	}

	// withdrawn says that what was released to a session that is lost is so no
	// longer.
	withdrawn struct {
		attempt uint64
		err     error
	}

	// abandonedIs says that what was abandoned is committed.
	abandonedIs struct {
		attempt uint64
		err     error
	}

	// expiredNoted says that what has expired is abandoned, and that this is
	// committed.
	expiredNoted struct {
		attempt uint64
		list    []persistence.Done
		err     error
	}

	// reserved says that numbers up to there may be used.
	reserved struct {
		attempt uint64
		upTo    types.Seq
		err     error
	}

	// grounded says that the ack floor is durable.
	grounded struct {
		floor  types.Seq
		failed bool
	}

	// givenUpBefore says how many messages in a row an earlier process has given up,
	// by that store.
	givenUpBefore struct {
		store persistence.StoreID
		count int
	}

	// Finish stops sending, lets what is in flight finish for at most Within,
	// and closes the link properly. Answer: how many messages were left in
	// flight. The connection then stays offline.
	Finish struct {
		Within time.Duration
		Reply  Reply[int]
	}

	// Ping asks for a sign of life. Answer: nothing but that.
	Ping struct{ Reply Reply[struct{}] }

	// supplied carries what comes behind after, in answer to no Fetch of the connection.
	supplied struct {
		after  types.Seq
		answer Fetched
	}

	fetched struct {
		token  uint64
		answer Fetched
		err    error
	}
	dialed struct {
		attempt uint64
		result
	}
	linkEvent struct {
		attempt uint64
		event   broker.Event
	}
	attemptDue  struct{ attempt uint64 }
	progressDue struct{ attempt uint64 }
	leaveDue    struct{ number uint64 }
	calm        struct{ attempt uint64 } // nobody took the session over for a while

	// trying says which of the brokers is being dialed.
	trying struct {
		attempt uint64
		broker  int
	}

	// lookDue says that it is time to look whether the first broker is there
	// again; looked says whether it is.
	lookDue struct{ attempt uint64 }
	looked  struct {
		attempt uint64
		err     error
	}
)

func (Available) connectionMessage()     {}
func (Opened) connectionMessage()        {}
func (Settled) connectionMessage()       {}
func (Recall) connectionMessage()        {}
func (SetMaxAge) connectionMessage()     {}
func (Pause) connectionMessage()         {}
func (Resume) connectionMessage()        {}
func (Retry) connectionMessage()         {}
func (Redial) connectionMessage()        {}
func (SetRate) connectionMessage()       {}
func (SetFilters) connectionMessage()    {}
func (paceDue) connectionMessage()       {}
func (journaled) connectionMessage()     {}
func (withdrawn) connectionMessage()     {}
func (abandonedIs) connectionMessage()   {}
func (expiredNoted) connectionMessage()  {}
func (reserved) connectionMessage()      {}
func (grounded) connectionMessage()      {}
func (Finish) connectionMessage()        {}
func (Ping) connectionMessage()          {}
func (fetched) connectionMessage()       {}
func (supplied) connectionMessage()      {}
func (dialed) connectionMessage()        {}
func (linkEvent) connectionMessage()     {}
func (attemptDue) connectionMessage()    {}
func (progressDue) connectionMessage()   {}
func (leaveDue) connectionMessage()      {}
func (calm) connectionMessage()          {}
func (trying) connectionMessage()        {}
func (lookDue) connectionMessage()       {}
func (looked) connectionMessage()        {}
func (givenUpBefore) connectionMessage() {}

// InboundMessage is what an inbound actor understands.
type InboundMessage interface{ inboundMessage() }

type (
	// Linked says that a new link is up, and whether the broker has kept the
	// session.
	Linked struct {
		Link    broker.Link
		Present bool
		Unsure  bool // it may be present: see broker.Session
	}

	// Arrived carries what came over a link. Nothing answers it but the link.
	Arrived struct {
		Link    broker.Link
		Packets []broker.Inbound
	}

	answeredSome struct{}
	roomMade     struct{}
	retryDue     struct{}

	// packetsRead carries what is stored of packet ids, or why that is not known;
	// groupStored says what became of a group of packets. life is that of the role
	// that asked.
	packetsRead struct {
		life  uint64
		marks []persistence.Mark
		err   error
	}
	groupStored struct {
		life uint64
		err  error
	}
)

func (Linked) inboundMessage()       {}
func (Arrived) inboundMessage()      {}
func (answeredSome) inboundMessage() {}
func (roomMade) inboundMessage()     {}
func (retryDue) inboundMessage()     {}
func (packetsRead) inboundMessage()  {}
func (groupStored) inboundMessage()  {}

// LogValue keeps payloads out of logs.
func (m Arrived) LogValue() slog.Value { return slog.IntValue(len(m.Packets)) }

// CompactorMessage is what the compactor understands.
type CompactorMessage interface{ compactorMessage() }

type (
	// Watch adds a queue, to be compacted at least every so often, or changes how
	// often; 0: only when it says so. One that has ended is taken out.
	Watch struct {
		Queue *Queue
		Every time.Duration
	}

	// CompactNow asks for a queue to be compacted without waiting. Answer: what
	// was done, once nothing is left to do of what there was when it was asked, or
	// an error that wraps types.ErrClosed, or is a *types.StoreError.
	CompactNow struct {
		Queue *Queue
		Reply Reply[persistence.Compaction]
	}

	intervalOver struct{ queue *Queue }
	rested       struct{ step uint64 }
	stepDone     struct {
		queue *Queue
		step  uint64
		did   persistence.Compaction
		err   error
	}
)

func (Watch) compactorMessage()        {}
func (CompactNow) compactorMessage()   {}
func (intervalOver) compactorMessage() {}
func (rested) compactorMessage()       {}
func (stepDone) compactorMessage()     {}
