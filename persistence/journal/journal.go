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

	Now func() time.Time // nil: time.Now
}

// Queue is a persistence.Queue and persistence.Compacter on a Medium.
type Queue struct {
	o      Options
	medium Medium
	enc    persistence.Encoder
	cache  cache

	mu     sync.Mutex // guards what State reads; only the owner changes it
	books  books
	index  index
	disk   disk
	failed error

	lsn     uint64        // of the last entry written; owner only
	written atomic.Uint64 // the same, for Sync
	synced  atomic.Uint64 // all entries up to this LSN are on stable storage
}

var (
	_ persistence.Queue     = (*Queue)(nil)
	_ persistence.Compacter = (*Queue)(nil)
)

// Write implements persistence.Queue.
func (q *Queue) Write(_ context.Context, c persistence.Commit) (types.Seq, error) {
	if q.failed != nil {
		return 0, q.failed
	}
	if len(c.Messages) == 0 && len(c.Done) == 0 && len(c.Released) == 0 && len(c.Abandoned) == 0 && len(c.Marks) == 0 {
		return 0, nil
	}
	b := persistence.Batch{Kind: persistence.KindBatch}
	if n := len(c.Messages); n > 0 {
		b.First = q.books.next
		b.Last = b.First + types.Seq(n-1)
		b.Records = make([]persistence.Record, n)
		for i, e := range c.Messages {
			b.Records[i] = persistence.Record{Seq: b.First + types.Seq(i), Entry: e}
		}
	}
	q.mu.Lock()
	q.books.accept(uint64(len(c.Messages)))
	if b.Delta = q.books.apply(c); b.Delta != nil {
		b.Delta.Clock = uint64(q.o.Now().UnixMilli())
	}
	q.mu.Unlock()

	segment, size, err := q.append(&b)
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	if len(b.Records) > 0 {
		q.index.add(span{
			first: b.First, last: b.Last, key: b.LSN, segment: segment,
			size: uint32(size), count: uint32(len(b.Records)), live: uint32(len(b.Records)),
			delta: b.Delta != nil, since: b.Records[0].Enqueued.UnixMilli(),
		})
		q.cache.put(b.LSN, b.Records, size)
	} else {
		q.disk.garbage = append(q.disk.garbage, entry{b.LSN, segment})
	}
	if b.Delta != nil {
		q.disk.deltas++
		q.settle()
	}
	q.mu.Unlock()
	if segment != q.disk.newest.segment || q.disk.deltas >= maxDeltas {
		if err := q.writeState(false); err != nil {
			return 0, err
		}
	}
	return b.First, nil
}

// settle tells the index what has left the queue. The books know already.
func (q *Queue) settle() {
	for _, r := range q.books.newly {
		q.index.settle(r)
	}
	q.books.newly = q.books.newly[:0]
}

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
	q.disk.wrote(segment, len(value))
	q.mu.Unlock()
	return segment, len(value), nil
}

// writeState writes a state entry, behind everything else.
func (q *Queue) writeState(clean bool) error {
	q.mu.Lock()
	d := q.books.whole()
	q.mu.Unlock()
	d.Clean, d.Lazy, d.Clock = clean, q.o.Lazy, uint64(q.o.Now().UnixMilli())
	b := persistence.Batch{Kind: persistence.KindState, Delta: d}
	segment, _, err := q.append(&b)
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.disk.stateWritten(entry{b.LSN, segment})
	q.mu.Unlock()
	return nil
}

// Sync implements persistence.Queue.
func (q *Queue) Sync(context.Context) error {
	upTo := q.written.Load()
	if q.synced.Load() >= upTo {
		return nil
	}
	if err := q.medium.Sync(); err != nil {
		return q.wrap("sync", err)
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
	s.Bytes, s.Oldest = q.index.live, q.index.oldest()
	s.BytesWritten, s.DiskBytes = q.disk.written, q.disk.total()
	s.CompactionDue = q.disk.added >= manyEntries
	return s
}

// Close implements persistence.Queue.
func (q *Queue) Close(ctx context.Context) error {
	var err error
	if q.failed == nil {
		if err = q.writeState(true); err == nil {
			err = q.Sync(ctx)
		}
		q.failed = q.wrap("use", types.ErrClosed)
	}
	return errors.Join(err, q.medium.Close())
}

// fail makes err the answer of every later Write.
func (q *Queue) fail(op string, err error) error {
	q.failed = q.wrap(op, err)
	return q.failed
}

// wrap says which queue err is about; a hint of the medium is kept.
func (q *Queue) wrap(op string, err error) error { return wrap(op, q.o.Name, err) }

func wrap(op, name string, err error) error {
	var se *types.StoreError
	if errors.As(err, &se) {
		return &types.StoreError{Op: op, Queue: name, Err: se.Err, Hint: se.Hint}
	}
	return &types.StoreError{Op: op, Queue: name, Err: err}
}
