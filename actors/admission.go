package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Cost is what requests take of an Admission.
type Cost struct {
	Messages int
	Bytes    int64
}

// CostOf is what an Enqueue of these entries costs.
func CostOf(entries []persistence.Entry) Cost {
	c := Cost{Messages: len(entries)}
	for i := range entries {
		c.Bytes += int64(entries[i].Message.Size())
	}
	return c
}

func (c Cost) plus(o Cost) Cost  { return Cost{c.Messages + o.Messages, c.Bytes + o.Bytes} }
func (c Cost) minus(o Cost) Cost { return Cost{c.Messages - o.Messages, c.Bytes - o.Bytes} }

// Admission bounds what is on its way into a queue and not committed yet.
// Mailboxes have no bound, so whoever sends takes its share here first. It also
// keeps out what a limit of the store has no room for. Those who wait are served in
// the order in which they came. A single request larger than everything is admitted
// when nothing else is. It may be used concurrently.
type Admission struct {
	limit Cost

	mu      sync.Mutex
	used    Cost
	most    Limits // of what is stored and on its way
	stored  Cost
	both    Cost              // what counts as used as well as stored
	barred  error             // why nothing is to be stored at all
	refused map[string]uint64 // messages, for want of room in the store
	closed  error
	waiting []*applicant
	kept    []*promise
}

// promise is a share that is kept for whoever asks for just as much.
type promise struct{ cost Cost }

// promiseTime is how long a share is kept for somebody who was told of it.
const promiseTime = 100 * time.Millisecond

// applicant waits for admission.
type applicant struct {
	cost    Cost
	manner  manner
	granted func(error)
}

// manner is how somebody applies while a limit of the store is reached.
type manner uint8

const (
	patient   manner = iota // waits
	impatient               // is to be refused
	exempt                  // is not bounded by it
)

// decision is what an applicant is to be told.
type decision struct {
	*applicant
	err error
}

func tell(list []decision) {
	for _, d := range list {
		d.granted(d.err)
	}
}

// NewAdmission makes an Admission; a limit of 0 means none.
func NewAdmission(limit Cost) *Admission { return &Admission{limit: limit} }

// Used is what is admitted at present.
func (a *Admission) Used() Cost {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// TryAcquire takes c, or returns types.ErrBusy at once if there is no room or
// somebody waits already; of several messages it takes none unless the limits of the
// store allow all. It returns types.ErrClosed when the queue has stopped.
func (a *Admission) TryAcquire(c Cost) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.IndexFunc(a.kept, func(p *promise) bool { return p.cost == c }); i >= 0 && a.closed == nil {
		a.kept = slices.Delete(a.kept, i, i+1)
		return nil
	}
	if a.closed == nil && c.Messages > 1 && a.beyond(c) != "" {
		return types.ErrBusy
	}
	return a.tryAcquire(c)
}

// try is TryAcquire for those whom nothing was promised.
func (a *Admission) try(c Cost) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tryAcquire(c)
}

func (a *Admission) tryAcquire(c Cost) error {
	switch {
	case a.closed != nil:
		return a.closed
	case len(a.waiting) > 0 || !a.fits(c):
		return types.ErrBusy
	}
	a.used = a.used.plus(c)
	return nil
}

// fits says whether there is room for c.
func (a *Admission) fits(c Cost) bool {
	return a.why(c) == nil && a.passes(c)
}

// passes says whether there is room on the way for c.
func (a *Admission) passes(c Cost) bool {
	if a.used == (Cost{}) {
		return true
	}
	after := a.used.plus(c)
	return (a.limit.Messages <= 0 || after.Messages <= a.limit.Messages) &&
		(a.limit.Bytes <= 0 || after.Bytes <= a.limit.Bytes)
}

// why says why c cannot be stored beside what is, and what is on its way; a single
// message is stored if nothing else is.
func (a *Admission) why(c Cost) error {
	if a.barred != nil {
		return a.barred
	}
	if a.stored.Messages == 0 && a.used == (Cost{}) {
		return nil
	}
	if limit := a.beyond(c); limit != "" {
		return fullError(limit)
	}
	return nil
}

// beyond says which limit of the store there is no room within for c.
func (a *Admission) beyond(c Cost) string {
	return a.most.reached(a.stored.minus(a.both), a.used.plus(c))
}

// full says why not even a small message could be stored now.
func (a *Admission) full() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.why(Cost{Messages: 1, Bytes: 1})
}

// counts says whether setStored matters.
func (a *Admission) counts() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.most.bounded()
}

// setLimits says how much may be stored.
func (a *Admission) setLimits(l Limits) { a.change(func() { a.most = l }) }

// setStored says how much is stored, and how much of that is still admitted.
func (a *Admission) setStored(c, both Cost) { a.change(func() { a.stored, a.both = c, both }) }

// Bar keeps everything out that is not on its way yet, because of why, which wraps
// types.ErrQueueFull, until it is called with nil. Those who wait go on waiting.
func (a *Admission) Bar(why error) { a.change(func() { a.barred = why }) }

// change changes what decides, and answers those for whom that makes a difference.
func (a *Admission) change(how func()) {
	a.mu.Lock()
	how()
	decided := a.decide()
	a.mu.Unlock()
	tell(decided)
}

// Acquire takes c, waiting for its turn. It returns the error of ctx if that
// ends first, beside one that wraps types.ErrQueueFull if it was for want of room in
// the store, or types.ErrClosed.
func (a *Admission) Acquire(ctx context.Context, c Cost) error { return a.acquire(ctx, c, patient) }

// AcquireUnlessFull is Acquire, but waits only for what is on its way: as soon as the
// store has no room it returns an error that wraps types.ErrQueueFull.
func (a *Admission) AcquireUnlessFull(ctx context.Context, c Cost) error {
	return a.acquire(ctx, c, impatient)
}

// AcquireBeyond is Acquire for what is stored although a limit of the store is
// reached: those who are to make room would wait for it. It waits for what is on its
// way, and while nothing can be stored at all.
func (a *Admission) AcquireBeyond(ctx context.Context, c Cost) error {
	return a.acquire(ctx, c, exempt)
}

func (a *Admission) acquire(ctx context.Context, c Cost, m manner) error {
	a.mu.Lock()
	if err := a.tryAcquire(c); err != types.ErrBusy {
		a.mu.Unlock()
		return err
	}
	done := make(chan error, 1)
	me := &applicant{c, m, func(err error) { done <- err }}
	a.waiting = append(a.waiting, me)
	decided := a.decide()
	a.mu.Unlock()
	tell(decided)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	a.mu.Lock()
	i := slices.Index(a.waiting, me)
	if i < 0 { // it was answered in the same moment
		a.mu.Unlock()
		if err := <-done; err != nil {
			return err
		}
		a.Release(c)
		return ctx.Err()
	}
	why := a.why(c)
	if why != nil {
		a.refuse(c, why)
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	decided = a.decide() // others behind it may fit now
	a.mu.Unlock()
	tell(decided)
	if why != nil {
		return fmt.Errorf("%w: %w", why, ctx.Err())
	}
	return ctx.Err()
}

// Refusal is the error of AcquireUnlessFull, nil if it would not return at once;
// nothing is taken.
func (a *Admission) Refusal(c Cost) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.why(c)
	if err == nil && len(a.waiting) > 0 {
		err = a.why(a.waiting[0].cost)
	}
	if err != nil {
		a.refuse(c, err)
	}
	return err
}

// refuse counts what is not taken, nor waited for any longer.
func (a *Admission) refuse(c Cost, why error) {
	if a.refused == nil {
		a.refused = make(map[string]uint64)
	}
	reason := "full"
	if errors.Is(why, types.ErrDiskFull) {
		reason = "disk_full"
	}
	a.refused[reason] += uint64(c.Messages)
}

// fill adds to status what was refused.
func (a *Admission) fill(status *types.QueueStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for reason, n := range a.refused {
		status.RefusedBy[reason] += n
		status.Refused += n
	}
}

// Notify is for those who cannot wait: room is called exactly once, when c has
// been taken for the caller as by Acquire, or with types.ErrClosed. It runs on
// another goroutine's time and must not block.
func (a *Admission) Notify(c Cost, room func(error)) {
	a.mu.Lock()
	err := a.tryAcquire(c)
	if err == types.ErrBusy {
		a.waiting = append(a.waiting, &applicant{cost: c, granted: room})
	}
	a.mu.Unlock()
	if err != types.ErrBusy {
		room(err)
	}
}

// Promise is for those who cannot wait and will have to ask again: room is called
// exactly once, as by Notify. For a moment the share is then kept for the next
// TryAcquire of exactly c, before all who wait; after that it is gone. Without
// that whoever needs much would find it taken by others each time.
func (a *Admission) Promise(c Cost, room func(error)) {
	a.Notify(c, func(err error) {
		if err == nil {
			a.keep(c)
		}
		room(err)
	})
}

// keep makes what was acquired a promise.
func (a *Admission) keep(c Cost) {
	p := &promise{c}
	a.mu.Lock()
	a.kept = append(a.kept, p)
	a.mu.Unlock()
	time.AfterFunc(promiseTime, func() {
		a.mu.Lock()
		i := slices.Index(a.kept, p)
		if i >= 0 {
			a.kept = slices.Delete(a.kept, i, i+1)
		}
		a.mu.Unlock()
		if i >= 0 {
			a.Release(c)
		}
	})
}

// Release gives back what was acquired and admits those who wait.
func (a *Admission) Release(c Cost) { a.change(func() { a.used = a.used.minus(c) }) }

// settle gives back what was acquired; for the rest see setStored.
func (a *Admission) settle(c, stored, both Cost) {
	a.change(func() { a.used, a.stored, a.both = a.used.minus(c), stored, both })
}

// decide takes from the front of the line those for whom there is room now, and
// out of it those who do not have to wait for room in the store.
func (a *Admission) decide() (list []decision) {
	n := 0
	for ; n < len(a.waiting) && a.fits(a.waiting[n].cost); n++ {
		a.used = a.used.plus(a.waiting[n].cost)
		list = append(list, decision{a.waiting[n], nil})
	}
	clear(a.waiting[:n])
	a.waiting = a.waiting[n:]
	if len(a.waiting) == 0 {
		return list
	}
	if why := a.why(a.waiting[0].cost); why != nil {
		a.waiting = slices.DeleteFunc(a.waiting, func(w *applicant) bool {
			switch {
			case w.manner == impatient:
				a.refuse(w.cost, why)
				list = append(list, decision{w, why})
			case w.manner == exempt && a.barred == nil && a.passes(w.cost):
				a.used = a.used.plus(w.cost)
				list = append(list, decision{w, nil})
			default:
				return false
			}
			return true
		})
	}
	if len(list) > n { // those behind them may fit
		list = append(list, a.decide()...)
	}
	return list
}

// close answers all who wait, now and later, with err.
func (a *Admission) close(err error) {
	a.mu.Lock()
	a.closed = err
	waiting := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	for _, w := range waiting {
		w.granted(err)
	}
}
