package actors

import (
	"context"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Put stores entries and returns, once all are committed, the number of the
// first one. It waits for admission, and for the commit, until ctx ends; after
// that the entries may be stored all the same. The entries must not be modified
// any more. Other errors: those of Completion.
func (q *Queue) Put(ctx context.Context, entries []persistence.Entry) (types.Seq, error) {
	if err := q.admission.Acquire(ctx, CostOf(entries)); err != nil {
		return 0, err
	}
	w := &waiter{make(chan stored, 1)}
	q.Tell(Enqueue{Entries: entries, Done: w})
	select {
	case s := <-w.stored:
		return s.first, s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// waiter is the Completion of a caller who waits.
type waiter struct{ stored chan stored }

type stored struct {
	first types.Seq
	err   error
}

// Stored implements Completion.
func (w *waiter) Stored(first types.Seq, err error) { w.stored <- stored{first, err} }
