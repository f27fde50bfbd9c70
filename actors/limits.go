package actors

import (
	"fmt"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Overflow says what a queue does at its limits.
type Overflow uint8

const (
	Reject     Overflow = iota // take nothing until there is room
	DropOldest                 // drop what has waited longest and is not in flight
	DropNewest                 // take and drop what comes
)

var overflowNames = [DropNewest + 1]string{"reject", "drop_oldest", "drop_newest"}

// String names it as the configuration does.
func (o Overflow) String() string { return overflowNames[o] }

// Limits bound what is stored in a queue. 0 means no bound. A message that is
// larger than MaxBytes is taken while nothing else is stored.
type Limits struct {
	MaxMessages int
	MaxBytes    int64 // stored size, nearly
	Overflow    Overflow
}

// bounded says whether there is a limit at all.
func (l Limits) bounded() bool { return l.MaxMessages > 0 || l.MaxBytes > 0 }

// reached says which limit keeps c from being stored beside what is; "" if none
// does.
func (l Limits) reached(stored, c Cost) string {
	switch after := stored.plus(c); {
	case l.MaxMessages > 0 && after.Messages > l.MaxMessages:
		return fmt.Sprintf("max_messages %d", l.MaxMessages)
	case l.MaxBytes > 0 && after.Bytes > l.MaxBytes:
		return fmt.Sprintf("max_bytes %d", l.MaxBytes)
	}
	return ""
}

// status is what a status says of them; nil if there are none.
func (l Limits) status() *types.LimitsStatus {
	if !l.bounded() {
		return nil
	}
	return &types.LimitsStatus{MaxMessages: uint64(max(l.MaxMessages, 0)), MaxBytes: uint64(max(l.MaxBytes, 0)), Overflow: l.Overflow.String()}
}

// setLimits is for a queue that is to keep to other limits from now on.
func (a *queue) setLimits(l Limits) {
	a.config.Limits = l
	a.queue.limits.Store(&l)
	a.queue.admission.setLimits(l.admitted())
	a.account()
}

// admitted are the limits to which nothing is admitted beyond: none where what
// comes makes room itself.
func (l Limits) admitted() Limits {
	if l.Overflow != Reject {
		return Limits{}
	}
	return l
}

// account tells the admission what is stored.
func (k *queueKeeper) account() {
	if k.queue.admission.counts() {
		k.queue.admission.setStored(k.queue.stored(), k.unanswered)
	}
}

// stored is what counts for the limits. What is only kept does not: it makes room.
func (q *Queue) stored() Cost {
	s := q.State()
	return Cost{int(s.Pending()), int64(s.Bytes)}
}

// roomFor says why entries that nobody has admitted would not be stored, or not for
// long.
func (a *queue) roomFor(entries []persistence.Entry) error {
	l := a.config.Limits
	if l.Overflow == DropOldest || !l.bounded() {
		return nil
	}
	if limit := l.reached(a.queue.stored(), CostOf(entries)); limit != "" {
		return fullError(limit)
	}
	return nil
}

// Full says why the queue takes nothing at present, as an error that wraps
// types.ErrQueueFull; nil when it does.
func (q *Queue) Full() error { return q.admission.full() }

// fullError says which limit is reached.
func fullError(limit string) error { return fmt.Errorf("%w (%s)", types.ErrQueueFull, limit) }
