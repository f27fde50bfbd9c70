package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Passage is a message on its way into the queues that it belongs to.
type Passage = types.Passage

// Route is RouteAll for one message: it says whether that was taken.
func (rt *Runtime) Route(m types.Message, origin types.Origin, done func(error), room func()) bool {
	return rt.RouteAll([]Passage{{Message: m, Origin: origin, Done: done}}, room) == 1
}

// RouteAll is what the local broker does with messages of one client, in their
// order: each is stored in the queue of every connection that forwards it, all
// or none; those for one queue are told to it at once. A message that no
// connection forwards is done at once. When one cannot be stored now those
// behind it are refused with the same error.
//
// It never blocks. It takes as many messages as there is room for and returns
// how many; if there are more, their Done is not called, and room is called
// once, when it is worth trying again.
func (rt *Runtime) RouteAll(messages []Passage, room func()) int {
	return rt.route(way{}, messages, room)
}

// way says where messages come from, and where they go to.
type way struct {
	from *Connection // nil: a local client
	only string      // the name of the only connection that they go to, or LocalName; "": all
}

// leadsTo says whether messages go to the connection of that name, or to LocalName.
func (w way) leadsTo(name string) bool { return w.only == "" || w.only == name }

// route is RouteAll for messages on that way.
func (rt *Runtime) route(w way, messages []Passage, room func()) int {
	l := rt.enter()
	defer l.leave()
	r := &routing{messages: len(messages)}
	r.targets, r.parts = r.oneTarget[:0], r.onePart[:0]
	if len(messages) > 1 {
		r.parts = make([]part, 0, len(messages))
	}
	taken, wait := 0, (func())(nil)
	for i := range messages {
		refusal := rt.add(r, l, w, &messages[i])
		if refusal == nil {
			wait, refusal = r.admit(room)
		}
		if wait != nil {
			break
		}
		taken++
		if refusal == nil {
			continue
		}
		r.drop()
		messages[i].Done(refusal)
		if !forGood(refusal) || w.only != "" { // then none may go before it
			for _, p := range messages[taken:] {
				p.Done(refusal)
			}
			taken = len(messages)
			break
		}
	}
	r.tell(rt.local.values)
	if wait != nil {
		wait()
	}
	return taken
}

// forGood says that a message will never be taken.
func forGood(err error) bool {
	for _, e := range []error{types.ErrInvalidTopic, types.ErrInvalidMessage, types.ErrTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// routing is messages on their way into the queues of their targets. Each is
// answered with the last of its commits, or with the first error: whoever is to
// send the message again must not get others stored meanwhile.
type routing struct {
	messages int // that it was given
	targets  []target
	parts    []part
	now      time.Time // for all of them

	// Memory for what is mostly one.
	oneTarget [1]target
	onePart   [1]part

	mu sync.Mutex // guards parts, once the targets were told
}

// part is one message of a routing.
type part struct {
	done     func(error)
	left     int // targets without an answer
	answered bool
	fresh    bool // one of them did not have it before
}

// target is a queue that messages belong to, and the messages as they are stored
// there.
type target struct {
	queue   *actors.Queue
	routing *routing
	entries []persistence.Entry
	cargo   []cargo  // of each entry
	repeats *repeats // nil: none of the entries is a repeat
	first   [1]persistence.Entry
	one     [1]cargo
}

// cargo is what is known about an entry of a target.
type cargo struct {
	part int // of the routing

	// stored, if set, is told the number of the message once it is committed in
	// this queue, before the routing is answered; 0 if it was there before. It must
	// not block.
	stored func(types.Seq)
}

// repeats is about the entries of a target of which some may have been there
// before.
type repeats struct {
	once  []types.Once // see actors.EnqueueOnce
	found []int        // indices of those that were
}

// add finds the targets of a message, which is the newest part of r then. The
// error says that one of them can never take it.
func (rt *Runtime) add(r *routing, l *lineup, w way, p *Passage) error {
	r.parts = append(r.parts, part{done: p.Done})
	entry := persistence.Entry{}
	if p.Origin.ID != 0 { // else it does not tell a repeat from a new message
		entry.Origin = p.Origin
	}
	for i := range l.members {
		c := &l.members[i]
		if !w.leadsTo(c.name) {
			continue
		}
		f, ok := c.forwards(p.Message, w.from)
		if !ok {
			continue
		}
		entry.Message, entry.Enveloped = f.Message, f.Envelope == config.EnvelopeJSON
		if err := checkEntry(&entry, int(rt.config.MaxMessageSize)); err != nil {
			if w.only != "" { // whoever sends it has a place for it
				return err
			}
			c.refused.add(err)
			if w.from == nil {
				return err
			}
			// The broker that it came from must not wait for ever, nor do without
			// the others.
			c.noted.note(rt, c.name, w.from, p.Message.Topic, err)
			continue
		}
		if r.now.IsZero() {
			r.now = rt.now()
		}
		entry.Enqueued = cmp.Or(p.Since, r.now)
		var stored func(types.Seq)
		if told := p.Stored; told != nil {
			stored = func(seq types.Seq) { told(c.name, seq) }
		}
		r.aim(c.queue, entry, p.Once, stored)
	}
	if !w.leadsTo(LocalName) {
		return nil
	}
	err := rt.addLocal(r, p)
	if err != nil && w.from != nil && w.only == "" { // as above
		rt.local.noted.note(rt, LocalName, w.from, p.Message.Topic, err)
		return nil
	}
	return err
}

// checkEntry says whether e can be taken, stored and published; max is the
// largest payload, also with an envelope around it.
func checkEntry(e *persistence.Entry, max int) error {
	if err := e.Message.Check(max); err != nil {
		return err
	}
	if !e.Enveloped {
		return nil
	}
	if n := actors.EnvelopeSize(e.Message.Payload); n > max {
		return fmt.Errorf("%w: in its envelope the payload may take %d bytes, the limit is %d", types.ErrTooLarge, n, max)
	}
	return nil
}

// forwards says whether m is for the broker of c, and returns it as it is to be
// queued. from is the connection that it came from, nil for a local client.
func (c *member) forwards(m types.Message, from *Connection) (config.Forwarded, bool) {
	switch from {
	case nil:
		return c.settings.routes.Forwards(m)
	case c.Connection: // never back to where it came from (S6.1)
		return config.Forwarded{}, false
	}
	return c.settings.routes.Relays(m)
}

// aim makes the newest part of r go to a queue, as entry, by the rule once if that is
// not nil; see cargo for stored.
func (r *routing) aim(queue *actors.Queue, entry persistence.Entry, once *types.Once, stored func(types.Seq)) {
	var t *target
	for i := range r.targets {
		if r.targets[i].queue == queue {
			t = &r.targets[i]
		}
	}
	if t == nil {
		r.targets = append(r.targets, target{queue: queue, routing: r})
		t = &r.targets[len(r.targets)-1]
		if t.entries, t.cargo = t.first[:0], t.one[:0]; r.messages > 1 { // mostly all go the same way
			t.entries, t.cargo = make([]persistence.Entry, 0, r.messages), make([]cargo, 0, r.messages)
		}
	}
	t.entries = append(t.entries, entry)
	t.cargo = append(t.cargo, cargo{len(r.parts) - 1, stored})
	if once != nil {
		if t.repeats == nil {
			t.repeats = &repeats{once: make([]types.Once, 0, r.messages)}
		}
		t.repeats.once = append(t.repeats.once[:len(t.entries)-1], *once) // those before have none
	}
}

// newest yields the targets of the newest part, until it is told to stop.
func (r *routing) newest(yield func(*target) bool) {
	for i := range r.targets {
		t := &r.targets[i]
		if n := len(t.cargo); n > 0 && t.cargo[n-1].part == len(r.parts)-1 && !yield(t) {
			return
		}
	}
}

// admit gets room for the newest part in all its queues, or in none (S2.1). If
// there is none now wait is not nil; it is to be called last and sees to it that
// room is called once. The error says why a queue takes nothing.
func (r *routing) admit(room func()) (wait func(), refusal error) {
	for t := range r.newest {
		// Whoever is refused sends again: what the other queues took until then
		// would be there as many times.
		if err := t.queue.Trouble(); err != nil {
			return nil, err
		}
	}
	var admitted int
	var full *target
	for t := range r.newest {
		refusal = t.queue.Admission().TryAcquire(t.cost())
		if refusal != nil {
			full = t
			break
		}
		admitted++
		r.parts[len(r.parts)-1].left++
	}
	if full == nil {
		return nil, nil
	}
	for t := range r.newest { // hold nothing while waiting for one
		if admitted--; admitted < 0 {
			break
		}
		t.queue.Admission().Release(t.cost())
	}
	if !errors.Is(refusal, types.ErrBusy) {
		return nil, refusal
	}
	admission, cost := full.queue.Admission(), full.cost()
	r.drop()
	return func() {
		// room also when it was closed: trying again gives the error
		admission.Promise(cost, func(error) { room() })
	}, nil
}

// cost is that of the newest part.
func (t *target) cost() actors.Cost { return actors.CostOf(t.entries[len(t.entries)-1:]) }

// drop takes the newest part out again.
func (r *routing) drop() {
	for t := range r.newest {
		n := len(t.entries) - 1
		t.entries[n] = persistence.Entry{}
		t.entries, t.cargo = t.entries[:n], t.cargo[:n]
		if t.repeats != nil && len(t.repeats.once) > n {
			t.repeats.once[n] = types.Once{}
			t.repeats.once = t.repeats.once[:n]
		}
	}
	r.parts = r.parts[:len(r.parts)-1]
}

// tell hands the messages to their queues, to first before the others. Those without
// any are done.
func (r *routing) tell(first *actors.Queue) {
	for i := range r.parts {
		if r.parts[i].left == 0 {
			r.parts[i].done(nil)
		}
	}
	for _, isFirst := range []bool{true, false} {
		for i := range r.targets {
			if t := &r.targets[i]; len(t.entries) > 0 && (t.queue == first) == isFirst {
				t.tell()
			}
		}
	}
}

// tell hands the messages to the queue.
func (t *target) tell() {
	m := actors.Enqueue{Entries: t.entries, Done: t}
	if t.repeats == nil {
		t.queue.Tell(m)
	} else {
		t.queue.Tell(actors.EnqueueOnce{Enqueue: m, Once: t.repeats.once})
	}
}

var _ actors.RepeatCompletion = (*target)(nil)

// Repeated implements actors.RepeatCompletion.
func (t *target) Repeated(indices []int) { t.repeats.found = indices }

// Stored implements actors.Completion.
func (t *target) Stored(first types.Seq, err error) {
	for i, c := range t.cargo {
		fresh := t.repeats == nil || !t.repeats.isNext(i)
		if err == nil && c.stored != nil {
			if fresh {
				c.stored(first)
			} else {
				c.stored(0)
			}
		}
		if fresh {
			first++
		}
		t.routing.answer(c.part, fresh, err)
	}
}

// isNext says whether the entry of that index, which is asked for in order, was
// there before.
func (r *repeats) isNext(index int) bool {
	if len(r.found) == 0 || r.found[0] != index {
		return false
	}
	r.found = r.found[1:]
	return true
}

// answer notes that one of the targets of a part has answered; fresh says that the
// part was not there before.
func (r *routing) answer(number int, fresh bool, err error) {
	r.mu.Lock()
	p := &r.parts[number]
	p.left--
	p.fresh = p.fresh || fresh
	answer := !p.answered && (err != nil || p.left == 0)
	p.answered = p.answered || answer
	if err == nil && !p.fresh {
		err = types.ErrRepeated
	}
	r.mu.Unlock()
	if answer {
		p.done(err)
	}
}
