package runtime

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Route is what the local broker does with a message of a client: it stores m
// in the queue of every connection that forwards it, all or none, and calls
// done exactly once, from any goroutine, when that is committed everywhere or
// was refused; done must not block. A message that no connection forwards is
// done at once.
//
// It never blocks. If there is no room now it returns false, done is not called,
// and room is called once, when it is worth trying again.
func (rt *Runtime) Route(m types.Message, origin types.Origin, done func(error), room func()) bool {
	l := rt.enter()
	defer l.leave()
	r := rt.routing(l, m, origin)
	if r == nil {
		done(nil)
		return true
	}
	for i := range r.targets {
		t := &r.targets[i]
		if err := t.entry[0].Message.Check(int(rt.config.MaxMessageSize)); err != nil {
			t.refused.Add(1)
			done(err)
			return true
		}
	}
	for i := range r.targets {
		// Whoever is refused sends again: what the other queues took until then
		// would be there as many times.
		if err := r.targets[i].queue.Trouble(); err != nil {
			done(err)
			return true
		}
	}
	for i := range r.targets {
		err := r.targets[i].admission().TryAcquire(r.targets[i].cost())
		if err == nil {
			continue
		}
		// All or none (S2.1): hold nothing while waiting for this one.
		for k := range i {
			r.targets[k].admission().Release(r.targets[k].cost())
		}
		if !errors.Is(err, types.ErrBusy) {
			done(err)
			return true
		}
		admission, cost := r.targets[i].admission(), r.targets[i].cost()
		admission.Notify(cost, func(err error) {
			if err == nil {
				admission.Release(cost)
			}
			room() // also when it was closed: trying again gives the error
		})
		return false
	}
	r.done, r.left = done, len(r.targets)
	for i := range r.targets {
		t := &r.targets[i]
		t.queue.Tell(actors.Enqueue{Entries: t.entry[:], Done: t})
	}
	return true
}

// routing is a message on its way into the queues of its targets. It answers with
// the last of their commits, or with the first error: whoever is to send the
// message again must not get others stored meanwhile.
type routing struct {
	targets []target
	one     [1]target // memory for targets, of which there is mostly one
	done    func(error)

	mu       sync.Mutex
	left     int // without an answer
	answered bool
}

// target is a queue that a message belongs to, and the message as it is stored
// there.
type target struct {
	queue   *actors.Queue
	refused *atomic.Uint64 // counts what can never be stored there
	entry   [1]persistence.Entry
	routing *routing

	// stored, if set, is told the number of the message once it is committed in
	// this queue, before the routing is answered. It must not block.
	stored func(types.Seq)
}

func (t *target) admission() *actors.Admission { return t.queue.Admission() }
func (t *target) cost() actors.Cost            { return actors.CostOf(t.entry[:]) }

// Stored implements actors.Completion.
func (t *target) Stored(seq types.Seq, err error) {
	if err == nil && t.stored != nil {
		t.stored(seq)
	}
	t.routing.answer(err)
}

// routing finds the targets of m; nil if there are none.
func (rt *Runtime) routing(l *lineup, m types.Message, origin types.Origin) *routing {
	var r *routing
	add := func(t target) {
		if r == nil {
			r = &routing{}
			r.targets = r.one[:0]
		}
		t.routing = r
		t.entry[0].Origin, t.entry[0].Enqueued = origin, rt.now()
		r.targets = append(r.targets, t)
	}
	for _, c := range l.members {
		if remote, ok := c.settings.routes.Forwards(m); ok {
			add(target{queue: c.queue, refused: &c.refused, entry: [1]persistence.Entry{{Message: remote}}})
		}
	}
	return r
}

// answer notes that one of the targets has answered.
func (r *routing) answer(err error) {
	r.mu.Lock()
	r.left--
	answer := !r.answered && (err != nil || r.left == 0)
	r.answered = r.answered || answer
	r.mu.Unlock()
	if answer {
		r.done(err)
	}
}
