package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// inbox is what waits for Next, and what was delivered and is not done.
type inbox struct {
	window  int
	ackWait time.Duration // less than 0: for ever

	mu       sync.Mutex
	changed  chan struct{} // closed, and another one made, when there may be more for Next
	receiver *receiver     // the present one; nil without a name
	ready    []*Delivery   // in order
	bytes    int64         // of them, without a name
	missed   uint64
	ended    error
}

// receiver is what an inbox gets by one Join. What it has is guarded by the inbox's
// lock.
type receiver struct {
	subscription *Subscription
	in           *inbox
	token        *actors.Token // nil: not known yet
	out          map[types.Seq]*handed
	last         types.Seq // that was handed out
	again        schedule  // of out
	over         error
}

// handed is a message that was handed out and is not done.
type handed struct {
	delivery Delivery
	due      time.Time // when it is to be handed out again, if that is planned
	at       int       // its place in the schedule, from 1 on; 0: it is not planned
}

func (h *handed) planned() bool { return h.at > 0 }

var _ actors.Forgetter = (*receiver)(nil)

func (i *inbox) init(o SubscribeOptions) {
	i.window, i.ackWait, i.changed = o.Window, o.AckWait, make(chan struct{})
}

// tell wakes all who wait in next; the lock is held.
func (i *inbox) tell() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// renew returns a receiver for another Join.
func (i *inbox) renew(s *Subscription) *receiver {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.receiver = &receiver{subscription: s, in: i, out: make(map[types.Seq]*handed)}
	i.ready = nil
	return i.receiver
}

// end ends the inbox, unless it has, and returns what the consumer is left with.
func (i *inbox) end(why error) (token actors.Token, last types.Seq, joined bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended != nil {
		return token, 0, false
	}
	i.ended = why
	i.ready = nil
	i.tell()
	if r := i.receiver; r != nil && r.token != nil && r.over == nil {
		r.over = why
		return *r.token, r.last, true
	}
	return token, 0, false
}

// token is what the present consumer is told by; nil: it is just being joined again.
func (i *inbox) token() (*actors.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended != nil {
		return nil, i.ended
	}
	if i.receiver == nil || i.receiver.over != nil {
		return nil, nil
	}
	return i.receiver.token, nil
}

// next waits for a message.
func (i *inbox) next(ctx context.Context) (*Delivery, error) {
	for {
		i.mu.Lock()
		d, wait, err := i.pop(time.Now())
		changed := i.changed
		i.mu.Unlock()
		if d != nil || err != nil {
			return d, err
		}
		var due <-chan time.Time
		var timer *time.Timer
		if wait > 0 {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-changed:
		case <-due:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if timer != nil {
			timer.Stop()
		}
		if err != nil {
			return nil, err
		}
	}
}

// pop returns what is to be handed out now; else how long it is until something is
// that was before, 0: for ever.
func (i *inbox) pop(now time.Time) (d *Delivery, wait time.Duration, err error) {
	if i.ended != nil {
		return nil, 0, i.ended
	}
	r := i.receiver
	if r == nil {
		if len(i.ready) == 0 {
			return nil, 0, nil
		}
		d, i.ready[0] = i.ready[0], nil
		i.ready = i.ready[1:]
		i.bytes -= int64(d.Message.Size())
		return d, 0, nil
	}
	if r.token == nil || r.over != nil {
		return nil, 0, nil
	}
	i.expire(now)
	first := r.again.first()
	if first != nil && !first.due.After(now) {
		first.delivery.Attempt++
		first.delivery.Redelivered = true
		return i.hand(first, now), 0, nil
	}
	if len(i.ready) > 0 {
		h := &handed{delivery: *i.ready[0]}
		i.ready[0] = nil
		i.ready = i.ready[1:]
		r.out[h.delivery.Seq], r.last = h, h.delivery.Seq
		return i.hand(h, now), 0, nil
	}
	if first != nil {
		return nil, first.due.Sub(now), nil
	}
	return nil, 0, nil
}

// expire takes out what has expired before it could be handed out, or handed out
// again.
func (i *inbox) expire(now time.Time) {
	r := i.receiver
	late := func(d *Delivery) bool { return !d.until.IsZero() && !now.Before(d.until) }
	var gone []types.Seq
	for h := r.again.first(); h != nil && !h.due.After(now) && late(&h.delivery); h = r.again.first() {
		gone = append(gone, h.delivery.Seq)
		r.drop(h.delivery.Seq)
	}
	for len(i.ready) > 0 && late(i.ready[0]) {
		r.last = i.ready[0].Seq
		gone = append(gone, r.last)
		i.ready[0] = nil
		i.ready = i.ready[1:]
	}
	if len(gone) > 0 {
		r.subscription.conn.incoming.consumers.Tell(actors.Acknowledge{Consumer: *r.token, Expired: gone})
	}
}

// hand hands a message of the present receiver out.
func (i *inbox) hand(h *handed, now time.Time) *Delivery {
	if i.ackWait > 0 {
		i.receiver.again.plan(h, now.Add(i.ackWait))
	} else {
		i.receiver.again.drop(h)
	}
	d := h.delivery
	return &d
}

// offer adds a message that nothing is stored of, if there is room.
func (i *inbox) offer(d *Delivery) {
	i.mu.Lock()
	defer i.mu.Unlock()
	size := int64(d.Message.Size())
	switch {
	case i.ended != nil:
	case len(i.ready) >= i.window, len(i.ready) > 0 && i.bytes+size > subscribeBytes:
		i.missed++
	default:
		i.bytes += size
		i.ready = append(i.ready, d)
		i.tell()
	}
}

func (i *inbox) missedSoFar() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.missed
}

// Deliver implements actors.Receiver.
func (r *receiver) Deliver(list []actors.Delivery, _ types.Seq) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.in.receiver != r || r.in.ended != nil || len(list) == 0 {
		return
	}
	for i := range list {
		d := &list[i]
		r.in.ready = append(r.in.ready, &Delivery{
			Message: d.Message, Seq: d.Seq, Accepted: d.Stored, until: d.Until, Redelivered: d.Redelivered, Attempt: 1, receiver: r,
		})
	}
	r.in.tell()
}

// Recall implements actors.Receiver: what was handed out has left.
func (r *receiver) Recall() types.Seq {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.in.receiver == r {
		r.in.ready = nil
	}
	return r.last
}

// Gone implements actors.Forgetter: whoever has one of these finds out by what it does
// with it.
func (r *receiver) Gone(seq types.Seq) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	r.drop(seq)
}

// drop forgets what was handed out.
func (r *receiver) drop(seq types.Seq) {
	if h := r.out[seq]; h != nil {
		delete(r.out, seq)
		r.again.drop(h)
	}
}

// Ended implements actors.Receiver.
func (r *receiver) Ended(why error) {
	r.in.mu.Lock()
	r.over = why
	present := r.in.receiver == r && r.in.ended == nil
	if present {
		r.in.ready = nil
	}
	present = present && r.token != nil // else open goes on with it
	r.in.mu.Unlock()
	switch {
	case present && errors.Is(why, types.ErrInterrupted):
		go r.subscription.rejoin()
	case present:
		r.in.end(fmt.Errorf("the subscription %q has ended: %w", r.subscription.options.Name, why))
	}
}

// open says that the consumer is joined; false: nobody wants it any more.
func (r *receiver) open(token actors.Token) bool {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.in.ended != nil || r.in.receiver != r {
		return false
	}
	r.token = &token
	r.in.tell()
	if r.over != nil { // meanwhile
		why := r.over
		go r.Ended(why)
	}
	return true
}

// settle takes a message out of what was handed out.
func (r *receiver) settle(seq types.Seq) (*actors.Token, error) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.over != nil {
		return nil, r.over
	}
	if r.out[seq] == nil {
		return nil, nil
	}
	r.drop(seq)
	return r.token, nil
}

// nak has a message handed out again after a while.
func (r *receiver) nak(seq types.Seq, delay time.Duration) error {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.over != nil {
		return r.over
	}
	if h := r.out[seq]; h != nil {
		r.again.plan(h, time.Now().Add(delay))
		r.in.tell()
	}
	return nil
}

// restore has a message that was settled handed out again after a while.
func (r *receiver) restore(d *Delivery) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.over == nil {
		h := &handed{delivery: *d}
		r.out[d.Seq] = h
		r.again.plan(h, time.Now().Add(rejoinPause))
		r.in.tell()
	}
}
