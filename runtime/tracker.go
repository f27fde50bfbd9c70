package runtime

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// tracker knows which messages of one queue have left it since the runtime was
// opened, and tells those who wait for one. What it holds does not grow with
// the number of messages, but with that of those who wait and of the gaps.
type tracker struct {
	mu      sync.Mutex
	opened  bool
	store   persistence.StoreID
	gone    persistence.Ranges
	unsent  [types.Reasons]persistence.Ranges // of those gone otherwise than by Sent
	tried   [types.Reasons]persistence.Ranges // were to be settled by a Write that failed: perhaps they are
	waiting map[types.Seq][]chan error
	closed  bool
}

// began notes what had left when the store was opened, in state s. When it is
// opened again that is what a Write settled that failed, and what was lost.
func (t *tracker) began(s persistence.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened && t.store == s.StoreID {
		t.missing(s)
		t.tried = [types.Reasons]persistence.Ranges{}
		return
	}
	if t.opened {
		for seq := range t.waiting {
			t.answer(seq, fmt.Errorf("%w: its store was replaced by another one", types.ErrNotDelivered))
		}
		t.gone, t.unsent, t.tried = nil, [types.Reasons]persistence.Ranges{}, [types.Reasons]persistence.Ranges{}
	}
	t.opened, t.store = true, s.StoreID
	for r := range left(s) {
		t.gone.Add(r)
	}
}

// left yields the numbers that the queue, whose state is s, does not hold any
// more.
func left(s persistence.State) iter.Seq[persistence.Range] {
	return func(yield func(persistence.Range) bool) {
		if s.Floor > 0 && !yield(persistence.Range{First: 1, Last: s.Floor}) {
			return
		}
		for r := range s.Done.All() {
			if !yield(r) {
				return
			}
		}
	}
}

// settled notes what has left.
func (t *tracker) settled(done []persistence.Done) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range done {
		for _, r := range t.gone.Missing(d.Range) { // it leaves only once
			t.gone.Add(r)
			if d.Reason != types.Sent {
				t.unsent[d.Reason].Add(r)
			}
			t.wake(r)
		}
	}
}

// failed notes what a Write was to settle that has failed.
func (t *tracker) failed(done []persistence.Done) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range done {
		for _, r := range t.gone.Missing(d.Range) {
			t.tried[d.Reason].Add(r)
		}
	}
}

// lost notes the numbers that have left by themselves: those that the queue,
// whose state is s, does not hold any more, and nobody has settled.
func (t *tracker) lost(s persistence.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missing(s)
}

// missing notes what has left without being noted.
func (t *tracker) missing(s persistence.State) {
	for gone := range left(s) {
		for _, r := range t.gone.Missing(gone) {
			t.unsent[types.Quarantined].Add(r) // unless it was tried
			for reason := range t.tried {
				for _, tried := range t.tried[reason] {
					both := persistence.Range{First: max(r.First, tried.First), Last: min(r.Last, tried.Last)}
					if both.First > both.Last {
						continue
					}
					t.unsent[types.Quarantined].Remove(both)
					if types.Reason(reason) != types.Sent {
						t.unsent[reason].Add(both)
					}
				}
			}
			t.gone.Add(r)
			t.wake(r)
		}
	}
}

// wake tells those who wait for a number in r what became of it.
func (t *tracker) wake(r persistence.Range) {
	if uint64(len(t.waiting)) < r.Count() {
		for seq := range t.waiting {
			if seq >= r.First && seq <= r.Last {
				t.tell(seq)
			}
		}
		return
	}
	for seq := r.First; seq <= r.Last; seq++ {
		t.tell(seq)
	}
}

// tell tells those who wait for seq what became of it.
func (t *tracker) tell(seq types.Seq) {
	if len(t.waiting[seq]) > 0 {
		_, err := t.fate(seq)
		t.answer(seq, err)
	}
}

func (t *tracker) answer(seq types.Seq, err error) {
	for _, c := range t.waiting[seq] {
		c <- err
	}
	delete(t.waiting, seq)
}

// close answers all who wait: nothing more will be known.
func (t *tracker) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for seq := range t.waiting {
		t.tell(seq)
	}
}

// delivered waits until seq has left the queue, and returns nil if it was sent.
func (t *tracker) delivered(ctx context.Context, seq types.Seq) error {
	t.mu.Lock()
	if known, err := t.fate(seq); known {
		t.mu.Unlock()
		return err
	}
	if t.waiting == nil {
		t.waiting = make(map[types.Seq][]chan error)
	}
	answer := make(chan error, 1)
	t.waiting[seq] = append(t.waiting[seq], answer)
	t.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	t.withdraw(seq, answer)
	select { // it may have been answered in the same moment
	case err := <-answer:
		return err
	default:
		return ctx.Err()
	}
}

// fate says what became of seq, if that is known.
func (t *tracker) fate(seq types.Seq) (known bool, err error) {
	if !t.gone.Contains(seq) {
		if t.closed {
			return true, fmt.Errorf("not delivered yet: %w", types.ErrClosed)
		}
		return false, nil
	}
	for reason := range t.unsent {
		if t.unsent[reason].Contains(seq) {
			how := "was " + types.Reason(reason).String()
			if types.Reason(reason) == types.Dead {
				how = "became a dead letter"
			}
			return true, fmt.Errorf("%w: it %s", types.ErrNotDelivered, how)
		}
	}
	return true, nil
}

func (t *tracker) withdraw(seq types.Seq, c chan error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := t.waiting[seq][:0]
	for _, w := range t.waiting[seq] {
		if w != c {
			left = append(left, w)
		}
	}
	if len(left) == 0 {
		delete(t.waiting, seq)
	} else {
		t.waiting[seq] = left
	}
}
