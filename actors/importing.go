package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Import says how messages are imported.
type Import struct {
	Again bool // also what was imported before
	Wait  bool // for room, while the queue is full; else that is an error
}

// Import has the queue store messages that come from elsewhere, in order, as new ones
// behind all others, and returns how many were new when all are committed. What was
// imported before is left out, unless it is to be Again, and so is what has its number
// from this queue and is still pending there. Age goes on from when they were accepted.
// If it fails a part of them may be stored, which another Import leaves out. Errors wrap
// types.ErrQueueFull, ErrDiskFull, ErrInterrupted, ErrClosed or that of ctx, or are a
// *types.StoreError.
func (q *Queue) Import(ctx context.Context, list []types.Stored, o Import) (stored int, err error) {
	var open []*importPart // that were told and not answered yet
	var next EnqueueOnce
	tell := func() {
		if n := len(next.Entries); n > 0 {
			part := &importPart{stored: n, done: make(chan struct{})}
			next.Done = part
			q.Tell(next)
			open, next = append(open, part), EnqueueOnce{}
		}
	}
	settle := func() error {
		tell()
		for len(open) > 0 {
			n, err := open[0].wait(ctx)
			if err != nil {
				return err
			}
			stored, open = stored+n, open[1:]
		}
		return nil
	}
	now := time.Now()
	for i := range list {
		e := importEntry(&list[i], now)
		if err := q.admitImport(ctx, e, o.Wait, settle); err != nil {
			return stored, errors.Join(err, settle())
		}
		next.Entries = append(next.Entries, e)
		next.Once = append(next.Once, types.Once{Rule: types.Imported, New: o.Again})
	}
	return stored, settle()
}

// admitImport takes a share for e. settle hands over what has a share already, and
// returns when that is stored.
func (q *Queue) admitImport(ctx context.Context, e persistence.Entry, wait bool, settle func() error) error {
	cost := CostOf([]persistence.Entry{e})
	err := q.admission.try(cost)
	if !errors.Is(err, types.ErrBusy) {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	if wait {
		return q.admission.Acquire(ctx, cost)
	}
	if err = q.admission.try(cost); errors.Is(err, types.ErrBusy) {
		if full := q.admission.full(); full != nil {
			return full
		}
	}
	return err
}

func importEntry(s *types.Stored, now time.Time) persistence.Entry {
	accepted := s.Accepted
	if accepted.IsZero() || accepted.After(now) {
		accepted = now
	}
	return persistence.Entry{
		Message: s.Message, Origin: types.Origin{Source: ImportSource(s.Store), ID: uint64(s.Seq)},
		Enqueued: accepted, Enveloped: s.Enveloped, Original: s.Original,
	}
}

// importPart is the RepeatCompletion of an EnqueueOnce.
type importPart struct {
	stored int // of its entries, when it is done
	err    error
	done   chan struct{}
}

// Repeated implements RepeatCompletion.
func (p *importPart) Repeated(indices []int) { p.stored -= len(indices) }

// Stored implements Completion.
func (p *importPart) Stored(_ types.Seq, err error) {
	p.err = err
	close(p.done)
}

// wait returns how many entries were stored.
func (p *importPart) wait(ctx context.Context) (int, error) {
	select { // the queue answers, whatever happens to it
	case <-p.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the commit: %w", ctx.Err())
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.stored, nil
}
