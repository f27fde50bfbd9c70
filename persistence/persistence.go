// Package persistence defines how queues are stored, and the format in which
// they are. Implementations live below it, one per medium; storetest holds the
// suite that each of them must pass.
//
// A Store holds queues, a Queue is a log with one owner. Everything that
// belongs together (messages, where they came from, acknowledgements, session
// marks) is written as one Commit, so that there is no moment at which one is
// on disk without the other.
package persistence

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Store holds the queues of one directory, browser database or cluster. Its
// methods may be called concurrently.
type Store interface {
	// Open opens the named queue, creating it if it does not exist. Until it is
	// closed a second Open of it returns an error that wraps types.ErrInUse,
	// from whichever process. Other errors wrap types.ErrNewerFormat or
	// types.ErrForeign (nothing was changed), or are a *types.StoreError.
	//
	// name is "<connection>/outgoing" or "<connection>/incoming".
	Open(ctx context.Context, name string) (Queue, error)

	// Names lists the queues that exist, open or not, in order of their names.
	Names(ctx context.Context) ([]string, error)

	// Close closes all queues that are still open, and the store.
	Close() error
}

// Queue is a durable log with a single owner: Sync and State may be called
// concurrently with the other methods, which must not be called concurrently
// with each other.
//
// After Write or Sync has returned an error the queue takes nothing more: every
// later Write returns an error too, until it was closed and opened again. What
// the failed call was to store may or may not be there then. Errors that Refused
// knows are an exception: nothing was stored or changed, and the queue goes on.
// Of a queue that takes nothing more Read, State and Marks go on, as far as what
// is stored can be read; what the failed call was to settle or mark they may take
// for done.
type Queue interface {
	// Write appends c as one entry: after a crash all of it is there or nothing.
	// It returns the seq of the first message (later ones follow without gaps),
	// 0 if there is none. What is written survives the death of the process;
	// Sync makes it survive power loss, and a Write of dead letters does. The slices of c are not used after the
	// return, but for those of its messages, which nobody may modify.
	//
	// The error wraps types.ErrTooLarge if c does not fit into one entry (some
	// 8 MiB), and types.ErrInvalidMessage for a QoS or a Reason that does not exist:
	// then c can never be written. It wraps types.ErrQueueFull if the state of the
	// queue (its marks, and numbers that are done scattered above the floor) would
	// be larger than 7 MiB, or 7.5 MiB without messages: then c can be written when
	// the state has become smaller. It wraps types.ErrDiskFull if there is no room for
	// the messages of c; what has none is still written, see Roomy.
	Write(ctx context.Context, c Commit) (first types.Seq, err error)

	// Sync returns when everything that Write had returned from before the call
	// is on stable storage.
	Sync(ctx context.Context) error

	// Read appends to buf the pending records with a seq above after, in order,
	// until max is reached, and returns it. The records' slices may be kept, but
	// not modified. Messages that turn out to be unreadable are counted as
	// quarantined and passed over.
	Read(ctx context.Context, buf []Record, after types.Seq, max Limit) ([]Record, error)

	// State describes the queue, from memory.
	State() State

	// Marks yields the marks whose key begins with prefix, in order of keys.
	Marks(prefix string) iter.Seq2[string, []byte]

	// Close writes what makes the next Open quick, and releases the queue.
	Close(ctx context.Context) error
}

// Refused says of an error of Write that nothing was stored or changed, and the
// queue goes on.
func Refused(err error) bool {
	return errors.Is(err, types.ErrTooLarge) || errors.Is(err, types.ErrInvalidMessage) || errors.Is(err, types.ErrQueueFull)
}

// Compacter is a Queue that gives space back step by step.
type Compacter interface {
	// Compact does a part of the work: it rewrites at most about maxBytes, and
	// removes what is no longer needed. What one call has written is synced before
	// the next one relies on it: by the owner in between, or by that call. Same owner
	// as Write.
	Compact(ctx context.Context, maxBytes int64) (Compaction, error)
}

// Roomy is a Queue on a disk that can be full. It keeps a reserve, so that what
// is stored can be read, settled and compacted while there is no room for more.
type Roomy interface {
	// Room says whether messages can be written: else the error is a
	// *types.StoreError that wraps types.ErrDiskFull. Same owner as Write.
	Room(ctx context.Context) error
}

// Prober is a Queue that can tell whether one that takes nothing more should be
// closed and opened again.
type Prober interface {
	// Probe returns nil if the place of the queue can be written. It may take as long as
	// a large write and a sync. The error wraps types.ErrGone if that place is
	// not there any more: opening it makes a new one. Same owner as Write.
	Probe(ctx context.Context) error
}

// DeadReader is a Queue that keeps dead letters.
type DeadReader interface {
	// ReadDead is Read for dead letters. Those that turn out to be unreadable are
	// passed over, and are no longer kept.
	ReadDead(ctx context.Context, buf []Record, after types.Seq, max Limit) ([]Record, error)
}

// SentReader is a Queue that keeps what was sent.
type SentReader interface {
	// ReadSent is Read for messages that were sent and are kept. Those that turn
	// out to be unreadable are passed over, and are no longer kept.
	ReadSent(ctx context.Context, buf []Record, after types.Seq, max Limit) ([]Record, error)
}

// Expirer is a Queue that finds what is too old.
type Expirer interface {
	// Expired looks, above after, for pending messages that were not abandoned, and
	// have been there for longer than their Expiry or, if that is not 0, than maxAge.
	// It does not take long: when More is set there may be others above Through.
	// Same owner as Write.
	Expired(ctx context.Context, after types.Seq, maxAge time.Duration) (Expired, error)
}

// Expired says what is too old.
type Expired struct {
	Numbers Ranges
	Through types.Seq // looked at up to here
	More    bool
	Loaded  bool      // for that something was read from the medium
	Next    time.Time // of what was looked at no more is too old before; zero: none ever is
}

// Compaction says what one call of Compact did.
type Compaction struct {
	Rewritten int64 // bytes of live messages that were written again
	Reclaimed int64 // bytes that were given back
	More      bool  // there is more to do now
}

// Commit is what one durable write holds. Ranges and marks apply after the
// messages, so that a message can be stored and removed by the same commit.
type Commit struct {
	Messages []Entry
	Done     []Done // these have left the queue
	Released Ranges // PUBREL may be sent for these (QoS 2 only)

	// Withdrawn are released no longer, but for those that are abandoned: the
	// session is lost that they were released to. It applies behind Released.
	Withdrawn Ranges

	// Abandoned messages are never sent again, but their handshake is still
	// under way: they keep their packet id until they are done.
	Abandoned []Done

	Marks []Mark

	// Freed are dead letters that need not be kept any longer. A number that this
	// commit makes a dead letter may be among them.
	Freed Ranges

	// Lapsed are messages that were sent and need not be kept any longer. Those that
	// this commit keeps may be among them.
	Lapsed Ranges
}

// Entry is a message to be stored.
type Entry struct {
	Message  types.Message
	Origin   types.Origin
	Enqueued time.Time // when it was accepted; stored in whole milliseconds

	// Enveloped says that it leaves in an envelope that tells its time and number.
	Enveloped bool

	// Original is when the message was first accepted, if this is a replay: it was
	// sent, and is to be sent again because somebody asked for that. Zero: it is none.
	// Stored in whole milliseconds.
	Original time.Time
}

// Record is a message at its place in a queue.
type Record struct {
	Seq types.Seq
	Entry
	Released  bool         // a PUBREC for it was journalled
	Abandoned bool         // its handshake is to be finished, it is not to be published
	Why       types.Reason // that it was abandoned for
	Cause     string       // of a dead letter: what its Done said

	// Born is when it was accepted on the age clock of its queue, in ms; 0: not known.
	Born uint64

	// Since is when it was accepted, by the clock that this process measures with:
	// what lies between that and now is its age, whatever became of the wall clock
	// (S7.7). Read fills it in.
	Since time.Time
}

// Done says that a range of messages left the queue, and how. Those that leave
// as types.Dead are kept as dead letters until they are freed.
type Done struct {
	Range  Range
	Reason types.Reason
	Cause  string // of dead letters: what an operator is told; MaxCause bytes at most are kept

	// Keep is for those that leave as types.Sent: but for what was abandoned they are
	// kept until they lapse, so that ReadSent finds them.
	Keep bool
}

// MaxCause is how much is kept of why a message was set aside, in bytes.
const MaxCause = 256

// Mark is a small named value that is stored beside the messages: the state of
// a session, a cursor, a packet id, a tombstone. An empty Value removes it.
type Mark struct {
	Key   string
	Value []byte
}

// Limit bounds what Read returns; at least one record is returned if there is
// any. A zero field means no limit.
type Limit struct {
	Records int
	Bytes   int64 // of types.Message.Size
}

// State describes a queue.
type State struct {
	StoreID  StoreID
	Next     types.Seq     // the seq that the next message will get
	Age      time.Duration // what the age clock of the queue shows: it goes on, whatever becomes of the wall clock (S7.7)
	Floor    types.Seq     // all numbers up to here are done
	Done     Set           // done above Floor
	Released Ranges        // above Floor, not done
	Dead     uint64        // dead letters: done, and kept
	Sent     Set           // done, and kept
	Kept     uint64        // how many these are
	Counters Counters

	Bytes         uint64    // stored size of the pending messages, nearly
	KeptBytes     uint64    // likewise of those that were sent and kept
	BytesWritten  uint64    // to the medium, since Open
	PayloadBytes  uint64    // of the messages that were stored since Open
	DiskBytes     uint64    // what the queue takes now
	Reclaimed     uint64    // bytes that compaction gave back since the store was made; a kill may take some of that back
	Compacted     time.Time // when compaction last came to an end; zero: never
	Oldest        time.Time // when the oldest pending message was accepted, nearly; zero: none, or not known
	CompactionDue bool      // Compact has enough to do that it should not wait for its interval

	// DowntimeUnknown: when the queue was opened the wall clock did not say, within
	// 30 days, how long it had not been. That counts as nothing for the age of
	// messages.
	DowntimeUnknown bool

	// DuplicatesPossible: damage may have hit what said that messages were
	// delivered, so that some may be delivered again.
	DuplicatesPossible bool
}

// Pending is the number of messages stored and not done.
func (s State) Pending() uint64 {
	return uint64(s.Next-1-s.Floor) - s.Done.Count()
}

// Counters count from the creation of the store.
type Counters struct {
	Accepted uint64
	Left     [types.Reasons]uint64 // by types.Reason
}

// StoreID names a store for ever; it is drawn when the store is created.
type StoreID [16]byte
