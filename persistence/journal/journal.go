// Package journal is the queue that the stores have in common: it keeps a
// persistence.Queue as a log of entries (package persistence draws them) on any
// Medium that can append, sync and drop segments.
//
// What is in the log:
//
//   - Every entry has the next LSN, which is also its key, so a key is never
//     used twice and the highest LSN is the newest.
//   - A batch holds messages for a run of numbers. When its live messages are
//     few, or when it is small, it is rewritten: the survivors of one or several
//     neighbours go into a new entry for the whole run. Of entries whose runs
//     cover each other the highest LSN counts, and numbers of its run that it
//     does not hold are done.
//   - A delta, alone or beside messages, says what changed in the state. It is
//     written with the messages it belongs to, in the same entry.
//   - A state entry is the whole state. It includes every delta of lower LSN. It
//     is written on opening, whenever a segment was filled, after some thousand
//     deltas and on closing.
//
// Recovery takes the newest readable state, applies the deltas above it in
// order of LSN, and indexes the batches. Deltas are only forgotten once the two
// newest states include them, and segments only dropped below the newest state
// that lies in another segment than the newest of all, so that neither one
// unreadable entry nor one lost file takes the state along.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Options of a queue.
type Options struct {
	Name   string       // for errors and logs
	Logger *slog.Logger // nil: none

	// Lazy says that commits are not synced one by one, so that after an
	// unclean end numbers may have been given out that are not in the log.
	Lazy bool

	// SegmentSize is the size of a full segment of the medium, in bytes; 0:
	// 8 MiB.
	SegmentSize int64

	Now func() time.Time // nil: time.Now
}

// Queue is a persistence.Queue and persistence.Compacter on a Medium.
type Queue struct {
	o      Options
	medium Medium

	// What State reads; only the owner changes it, under mu.
	mu    sync.Mutex
	books books
	index index
	disk  disk
	age   ageClock

	// What Sync knows.
	written atomic.Uint64         // LSN of the last entry written
	synced  atomic.Uint64         // all entries up to this LSN are on stable storage
	failure atomic.Pointer[error] // the answer to every call after one that failed

	// What only the owner knows.
	enc     persistence.Encoder
	cache   cache
	pass    pass      // the compaction under way
	newest  pass      // beside it, through what came since it began
	rolled  types.Seq // the numbers up to here belong to one of the two, or to one before
	turned  bool      // the last call of Compact was for newest
	leaving leaving   // what it removes next

	verification verification
	recorded     persistence.Set // what recovery made done, until it is written
	missing      uint64          // messages that recovery did not find
	lsn          uint64          // of the last entry written
	unsynced     types.Seq       // numbers given out since Write itself synced
	closed       bool
}

var (
	_ persistence.Queue      = (*Queue)(nil)
	_ persistence.Compacter  = (*Queue)(nil)
	_ persistence.DeadReader = (*Queue)(nil)
	_ persistence.Roomy      = (*Queue)(nil)
	_ persistence.Prober     = (*Queue)(nil)
	_ persistence.SentReader = (*Queue)(nil)
)

// Write implements persistence.Queue.
func (q *Queue) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	if err := q.failed(); err != nil {
		return 0, err
	}
	if len(c.Messages) == 0 && len(c.Done) == 0 && len(c.Released) == 0 && len(c.Withdrawn) == 0 && len(c.Abandoned) == 0 && len(c.Marks) == 0 && len(c.Freed) == 0 && len(c.Lapsed) == 0 {
		return 0, nil
	}
	expected, err := q.check(c)
	if err != nil {
		return 0, q.wrap("write to", err)
	}
	if len(c.Messages) > 0 {
		if err := q.reserve("write to", expected); err != nil {
			return 0, err
		}
	}
	b := persistence.Batch{Kind: persistence.KindBatch}
	n, now := len(c.Messages), q.o.Now()
	if n > 0 {
		b.First = q.books.next
		b.Last = b.First + types.Seq(n-1)
		b.Records = make([]persistence.Record, n)
		for i, e := range c.Messages {
			b.Records[i] = persistence.Record{Seq: b.First + types.Seq(i), Entry: e, Born: q.age.birth(e.Enqueued, now)}
		}
	}
	q.mu.Lock()
	q.books.accept(n)
	q.books.age, q.books.clock = q.age.shows(now), unixMilli(now)
	born, until := q.extent(b.Records, true, now)
	b.Delta = q.books.apply(c)
	if b.Delta == nil && until != never { // so that it is known after a crash, too
		b.Delta = &persistence.Delta{}
		q.books.stamp(b.Delta)
	}
	q.mu.Unlock()
	segment, size, err := q.append(&b)
	if err != nil {
		q.mu.Lock()
		q.books.accept(-n)
		q.mu.Unlock()
		return 0, err
	}
	q.mu.Lock()
	for i := range c.Messages {
		q.disk.payload += uint64(len(c.Messages[i].Message.Payload))
	}
	if n > 0 {
		q.index.add(span{
			first: b.First, last: b.Last, key: b.LSN, segment: segment,
			size: uint32(size), count: uint32(n), live: uint32(n),
			delta: b.Delta != nil, born: born, until: until,
		})
		q.cache.wrote(b.LSN, b.Records, size)
	} else {
		q.disk.garbage = append(q.disk.garbage, entry{b.LSN, segment, true})
	}
	if b.Delta != nil {
		q.disk.deltas++
		q.index.settle(b.Delta.Done.All(), &q.books)
		q.index.settle(slices.Values(c.Freed), &q.books)
		q.index.settle(slices.Values(c.Lapsed), &q.books)
		q.lookAtFront(now)
		q.cache.forget(q.books.floor)
	}
	q.mu.Unlock()
	if err := q.follow(segment); err != nil {
		return 0, err
	}
	if b.Delta != nil && b.Delta.Dead.Count() > 0 {
		// What comes later says that they are done, but not that they are kept: it
		// must not survive a power cut alone.
		return b.First, q.Sync(ctx)
	}
	return b.First, q.keepUp(ctx, n)
}

// check says whether c makes sense, and there is room for it: in an entry and in
// the state. It returns how large the entry may be.
func (q *Queue) check(c persistence.Commit) (size int, err error) {
	const around = 80 // what a message, a mark or a run takes beside its bytes, at most
	size = persistence.HeaderSize + around*(1+len(c.Done)+len(c.Released)+len(c.Withdrawn)+len(c.Abandoned)+len(c.Freed)+len(c.Lapsed))
	for i := range c.Messages {
		m := &c.Messages[i].Message
		if m.QoS > 2 {
			return 0, fmt.Errorf("%w: QoS %d", types.ErrInvalidMessage, m.QoS)
		}
		size += around + len(m.Topic) + len(m.Payload) + len(m.Properties) + len(c.Messages[i].Origin.Source)
	}
	for _, list := range [][]persistence.Done{c.Done, c.Abandoned} {
		for _, d := range list {
			if int(d.Reason) >= types.Reasons {
				return 0, fmt.Errorf("%w: it left for %v", types.ErrInvalidMessage, d.Reason)
			}
			if d.Keep && d.Reason != types.Sent {
				return 0, fmt.Errorf("%w: it is %v and to be kept as sent", types.ErrInvalidMessage, d.Reason)
			}
			size += min(len(d.Cause), persistence.MaxCause)
		}
	}
	for _, m := range c.Marks {
		size += around + len(m.Key) + len(m.Value)
	}
	if size > MaxValue {
		return 0, fmt.Errorf("%w: one commit with %d messages and %d bytes", types.ErrTooLarge, len(c.Messages), size)
	}
	return size, q.books.check(c)
}

// reserve says whether the medium has room for an entry of that size, and for the
// state that may follow it, beside its reserve.
func (q *Queue) reserve(op string, size int) error {
	r, ok := q.medium.(Reserver)
	if !ok {
		return nil
	}
	err := r.Reserve(size + q.disk.stateSize + 2*around)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, types.ErrDiskFull):
		return q.wrap(op, err)
	}
	return q.fail(op, err)
}

// Room implements persistence.Roomy.
func (q *Queue) Room(context.Context) error {
	if err := q.failed(); err != nil {
		return err
	}
	return q.reserve("write to", someRoom)
}

// Probe implements persistence.Prober.
func (q *Queue) Probe(context.Context) error {
	p, ok := q.medium.(Prober)
	if !ok {
		return nil
	}
	if err := p.Probe(); err != nil {
		return q.wrap("open", err)
	}
	return nil
}

// someRoom is how much has to be free before messages are taken again, in bytes.
const someRoom = 128 << 10

// append writes an entry and keeps account of it.
func (q *Queue) append(b *persistence.Batch) (segment uint64, size int, err error) {
	b.LSN, b.Store = q.lsn+1, q.books.store
	value := q.enc.Encode(b)
	if len(value) > MaxValue {
		return 0, 0, q.fail("append to", fmt.Errorf("%w: an entry of %d bytes", types.ErrTooLarge, len(value)))
	}
	segment, err = q.medium.Append(b.LSN, value)
	if err != nil {
		return 0, 0, q.fail("append to", err)
	}
	q.lsn = b.LSN
	q.written.Store(b.LSN)
	q.mu.Lock()
	q.disk.wrote(segment, len(value), b.Rewritten)
	q.mu.Unlock()
	return segment, len(value), nil
}

// follow writes a state entry when one is due after an entry in that segment: in
// each segment, unless it is large beside what was written since the last one, and
// when the deltas behind that are many. What compaction writes needs none, or the
// log would not become smaller by it: an old state lies among it until it is
// written again.
func (q *Queue) follow(segment uint64) error {
	enough := min(statesApart*uint64(q.disk.stateSize), q.index.live/statesApart)
	if q.disk.deltas < maxDeltas && (segment == q.disk.newest.segment || q.disk.fresh < enough || q.disk.fresh == 0) {
		return nil
	}
	return q.writeState(false)
}

// statesApart is how far states are apart: so many times the size of one, or of
// what is live the part of one in so many, whichever is less.
const statesApart = 16

// keepUp syncs, once in a while, what nobody else may sync for long: it keeps
// the numbers that a power cut could make unknown fewer than recovery leaves
// out after one.
func (q *Queue) keepUp(ctx context.Context, n int) error {
	q.unsynced += types.Seq(n)
	if !q.o.Lazy || q.unsynced < jump/2 {
		return nil
	}
	q.unsynced = 0
	return q.Sync(ctx)
}

// writeState writes a state entry, behind everything else.
func (q *Queue) writeState(clean bool) error {
	now := q.o.Now()
	q.mu.Lock()
	q.books.age, q.books.clock = q.age.shows(now), unixMilli(now)
	q.mu.Unlock()
	d := q.books.whole()
	d.Clean, d.Lazy = clean, q.o.Lazy
	b := persistence.Batch{Kind: persistence.KindState, Delta: d}
	segment, size, err := q.append(&b)
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.disk.stateWritten(entry{b.LSN, segment, true})
	q.disk.stateSize = size
	q.mu.Unlock()
	return nil
}

// Sync implements persistence.Queue.
func (q *Queue) Sync(context.Context) error {
	upTo := q.written.Load()
	if q.synced.Load() >= upTo {
		return nil
	}
	if err := q.failed(); err != nil {
		return err
	}
	if err := q.medium.Sync(); err != nil {
		return q.fail("sync", err)
	}
	for { // the highest of concurrent calls wins
		had := q.synced.Load()
		if had >= upTo || q.synced.CompareAndSwap(had, upTo) {
			return nil
		}
	}
}

// State implements persistence.Queue.
func (q *Queue) State() persistence.State {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.books.state()
	s.Bytes, s.KeptBytes = q.index.pending, q.index.kept
	now := q.o.Now()
	if born := q.index.oldest(q.books.floor); born > 0 {
		s.Oldest = q.age.time(born, now)
	}
	s.BytesWritten, s.PayloadBytes, s.DiskBytes = q.disk.written, q.disk.payload, q.disk.total()
	s.Age = time.Duration(q.age.shows(now)) * time.Millisecond
	s.Reclaimed = q.books.reclaimed
	if at := q.books.compacted; at > 0 {
		s.Compacted = time.UnixMilli(int64(at))
	}
	s.DowntimeUnknown = q.age.unsure
	s.CompactionDue = q.disk.added >= manyEntries || q.disk.crowded(q.o.SegmentSize)
	return s
}

// Close implements persistence.Queue.
func (q *Queue) Close(ctx context.Context) error {
	if q.closed {
		return nil
	}
	q.closed = true
	var err error
	if q.failed() == nil {
		if err = q.writeState(true); err == nil {
			err = q.Sync(ctx)
		}
	}
	closed := q.wrap("use", types.ErrClosed)
	q.failure.Store(&closed)
	if closing := q.medium.Close(); closing != nil {
		err = errors.Join(err, q.wrap("close", closing))
	}
	return err
}

// failed returns the answer to every call after one that failed.
func (q *Queue) failed() error {
	if err := q.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes err, unless something failed before, the answer of every later
// call, and returns it.
func (q *Queue) fail(op string, err error) error {
	err = q.wrap(op, err)
	q.failure.CompareAndSwap(nil, &err)
	return err
}

// wrap says which queue err is about; a hint of the medium is kept.
func (q *Queue) wrap(op string, err error) error { return wrap(op, q.o.Name, err) }

func wrap(op, name string, err error) error {
	if se, ok := errors.AsType[*types.StoreError](err); ok {
		return &types.StoreError{Op: op, Queue: name, Err: se.Err, Hint: se.Hint}
	}
	return &types.StoreError{Op: op, Queue: name, Err: err}
}
