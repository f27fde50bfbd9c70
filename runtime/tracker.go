package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// tracker knows which messages of one queue have left it since the runtime was
// opened, and tells those who wait for one. What it holds does not grow with
// the number of messages, but with that of those who wait and of the gaps.
type tracker struct {
	mu      sync.Mutex
	gone    persistence.Ranges
	unsent  [types.Reasons]persistence.Ranges // of those gone otherwise than by Sent
	waiting map[types.Seq][]chan struct{}
	closed  bool
}

// began notes what had left before.
func (t *tracker) began(s persistence.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Floor > 0 {
		t.gone.Add(persistence.Range{First: 1, Last: s.Floor})
	}
	for r := range s.Done.All() {
		t.gone.Add(r)
	}
}

// settled notes what has left.
func (t *tracker) settled(done []persistence.Done) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range done {
		t.gone.Add(d.Range)
		if d.Reason != types.Sent {
			t.unsent[d.Reason].Add(d.Range)
		}
		t.wake(d.Range)
	}
}

// lost notes the numbers that have left by themselves: those that the queue,
// whose state is s, does not hold any more, and nobody has settled.
func (t *tracker) lost(s persistence.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	note := func(left persistence.Range) {
		for _, r := range t.gone.Missing(left) {
			t.gone.Add(r)
			t.unsent[types.Quarantined].Add(r)
			t.wake(r)
		}
	}
	if s.Floor > 0 {
		note(persistence.Range{First: 1, Last: s.Floor})
	}
	for r := range s.Done.All() {
		note(r)
	}
}

// wake tells those who wait for a number in r.
func (t *tracker) wake(r persistence.Range) {
	wake := func(seq types.Seq) {
		for _, c := range t.waiting[seq] {
			close(c)
		}
		delete(t.waiting, seq)
	}
	if uint64(len(t.waiting)) < r.Count() {
		for seq := range t.waiting {
			if seq >= r.First && seq <= r.Last {
				wake(seq)
			}
		}
		return
	}
	for seq := r.First; seq <= r.Last; seq++ {
		wake(seq)
	}
}

// close wakes all who wait: nothing more will be known.
func (t *tracker) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for seq, waiting := range t.waiting {
		for _, c := range waiting {
			close(c)
		}
		delete(t.waiting, seq)
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
		t.waiting = make(map[types.Seq][]chan struct{})
	}
	woken := make(chan struct{})
	t.waiting[seq] = append(t.waiting[seq], woken)
	t.mu.Unlock()
	select {
	case <-woken:
	case <-ctx.Done():
		t.withdraw(seq, woken)
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.fate(seq)
	return err
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
			return true, fmt.Errorf("%w: it was %v", types.ErrNotDelivered, types.Reason(reason))
		}
	}
	return true, nil
}

func (t *tracker) withdraw(seq types.Seq, c chan struct{}) {
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
