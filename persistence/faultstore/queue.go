package faultstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// queue is a queue of a Store.
type queue struct {
	persistence.Queue
	store *Store
	name  string

	mu       sync.Mutex
	failed   error // of a Write or Sync: it takes nothing more
	unsynced Batch
}

var (
	_ persistence.Queue      = (*queue)(nil)
	_ persistence.Compacter  = (*queue)(nil)
	_ persistence.DeadReader = (*queue)(nil)
	_ persistence.SentReader = (*queue)(nil)
	_ persistence.Expirer    = (*queue)(nil)
)

// Write implements persistence.Queue.
func (q *queue) Write(ctx context.Context, c persistence.Commit) (first types.Seq, err error) {
	if err := q.failure(); err != nil {
		return 0, err
	}
	b := Batch{Messages: len(c.Messages)}
	for i := range c.Messages {
		b.Bytes += int64(c.Messages[i].Message.Size())
	}
	err = q.store.do(ctx, Call{Op: Write, Queue: q.name, Batch: b}, func() (err error) {
		first, err = q.Queue.Write(ctx, c)
		return err
	})
	if err != nil {
		return 0, q.fail(err)
	}
	q.mu.Lock()
	q.unsynced.add(b)
	q.mu.Unlock()
	q.store.note(&q.store.writes, b)
	return first, nil
}

// Sync implements persistence.Queue.
func (q *queue) Sync(ctx context.Context) error {
	if err := q.failure(); err != nil {
		return err
	}
	q.mu.Lock()
	b := q.unsynced
	q.unsynced = Batch{}
	q.mu.Unlock()
	err := q.store.do(ctx, Call{Op: Sync, Queue: q.name, Batch: b}, func() error { return q.Queue.Sync(ctx) })
	if err != nil {
		return q.fail(err)
	}
	q.store.note(&q.store.syncs, b)
	return nil
}

// Read implements persistence.Queue.
func (q *queue) Read(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	read := buf
	err := q.store.do(ctx, Call{Op: Read, Queue: q.name}, func() (err error) {
		read, err = q.Queue.Read(ctx, buf, after, limit)
		return err
	})
	return read, err
}

// ReadDead implements persistence.DeadReader, as a Read. If the queue within does
// not, there are none.
func (q *queue) ReadDead(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	read := buf
	err := q.store.do(ctx, Call{Op: Read, Queue: q.name}, func() (err error) {
		if d, ok := q.Queue.(persistence.DeadReader); ok {
			read, err = d.ReadDead(ctx, buf, after, limit)
		}
		return err
	})
	return read, err
}

// ReadSent implements persistence.SentReader, as a Read. If the queue within does
// not, there are none.
func (q *queue) ReadSent(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	read := buf
	err := q.store.do(ctx, Call{Op: Read, Queue: q.name}, func() (err error) {
		if s, ok := q.Queue.(persistence.SentReader); ok {
			read, err = s.ReadSent(ctx, buf, after, limit)
		}
		return err
	})
	return read, err
}

// Expired implements persistence.Expirer, as a Read. If the queue within does not,
// nothing has.
func (q *queue) Expired(ctx context.Context, after types.Seq, maxAge time.Duration) (found persistence.Expired, err error) {
	err = q.store.do(ctx, Call{Op: Read, Queue: q.name}, func() (err error) {
		if x, ok := q.Queue.(persistence.Expirer); ok {
			found, err = x.Expired(ctx, after, maxAge)
		}
		return err
	})
	return found, err
}

// Compact implements persistence.Compacter. If the queue within does not, there
// is nothing to do.
func (q *queue) Compact(ctx context.Context, maxBytes int64) (did persistence.Compaction, err error) {
	err = q.store.do(ctx, Call{Op: Compact, Queue: q.name}, func() (err error) {
		if c, ok := q.Queue.(persistence.Compacter); ok {
			did, err = c.Compact(ctx, maxBytes)
		}
		return err
	})
	return did, err
}

// Room implements persistence.Roomy. If the queue within does not, there is room.
func (q *queue) Room(ctx context.Context) error {
	if err := q.failure(); err != nil {
		return err
	}
	if r, ok := q.Queue.(persistence.Roomy); ok {
		return r.Room(ctx)
	}
	return nil
}

// Probe implements persistence.Prober: a fault of Open, which would come next, shows
// here already.
func (q *queue) Probe(ctx context.Context) error {
	q.store.mu.Lock()
	fault := q.store.hit(Open)
	q.store.mu.Unlock()
	if fault != nil {
		return fault.Err
	}
	if p, ok := q.Queue.(persistence.Prober); ok {
		return p.Probe(ctx)
	}
	return nil
}

// Close implements persistence.Queue. The queue within is closed in any case.
func (q *queue) Close(ctx context.Context) error {
	closed := false
	err := q.store.do(ctx, Call{Op: Close, Queue: q.name}, func() error {
		closed = true
		return q.Queue.Close(ctx)
	})
	if !closed {
		err = errors.Join(err, q.Queue.Close(ctx))
	}
	return err
}

func (q *queue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

// fail makes err the answer of every later Write and Sync, unless nothing
// happened.
func (q *queue) fail(err error) error {
	if persistence.Refused(err) {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed == nil {
		q.failed = err
	}
	return err
}
