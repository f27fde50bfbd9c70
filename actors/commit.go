package actors

import (
	"runtime"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	flushBytes = 256 << 10 // collect no more than this before writing
	writeBytes = 512 << 10 // one Write holds no more, but for one message that is larger
)

// request is an Enqueue on its way.
type request struct {
	Enqueue
	cost    Cost      // admitted, and not yet released
	written int       // how many of its entries were
	first   types.Seq // of the first one
}

// last is the seq of its last message, once it was written.
func (r *request) last() types.Seq { return r.first + types.Seq(len(r.Entries)-1) }

// committing is the part of a queue that makes messages durable, many at a
// time: what arrives while a commit is under way becomes the next one.
//
//	waiting ──Write──▶ unsynced ──Sync──▶ answered        (sync before commit)
//	waiting ──Write──▶ answered … Sync                    (sync later, or never)
type committing struct {
	waiting   []request
	collected int64 // bytes of waiting
	armed     bool  // a flush is on its way

	unsynced    []request
	spare       []request // memory for unsynced
	lastWritten types.Seq
	sync        *syncing // under way
	dirty       bool     // written and not synced, and no sync of it under way
	timer       func()   // stops the timer of the next sync, if one runs
	overdue     bool     // the next sync is to begin when this one ends

	round
	alarmed bool               // a timer brings a flush in this round
	scratch persistence.Commit // its memory is used again
}

// syncing is a Sync that runs beside the actor.
type syncing struct {
	upTo  types.Seq
	since time.Time
	took  time.Duration
	err   error
	done  chan struct{}
}

// enqueue takes a request into the next commit.
func (a *queue) enqueue(m Enqueue) {
	r := request{Enqueue: m, cost: CostOf(m.Entries)}
	if len(m.Entries) == 0 {
		a.queue.admission.Release(r.cost)
		m.Done.Stored(0, nil)
		return
	}
	a.waiting = append(a.waiting, r)
	a.collected += r.cost.Bytes
	if a.handle == nil {
		a.answerAll(a.trouble)
		return
	}
	if a.collected >= flushBytes {
		if a.write() {
			a.startSync()
		}
		return
	}
	a.arm()
}

// arm sees to it that flush comes, behind all that is in the mailbox already.
func (a *queue) arm() {
	if a.armed {
		return
	}
	a.armed = true
	if d := a.config.CommitDelay; d > 0 && len(a.waiting) > 0 {
		a.config.Clock.AfterFunc(d, func() { a.self.Tell(flush{}) })
		return
	}
	a.self.Tell(flush{})
}

// flush writes what was collected. While a sync is under way messages wait for
// the next one, and on a quick disk they are written meanwhile, so that it can
// begin at once.
func (a *queue) flush() {
	a.armed = false
	switch {
	case a.handle == nil:
	case a.sync != nil && a.gathers() && a.round.hurry(len(a.waiting)):
		a.write()
	case a.sync != nil:
		a.writeSettled()
	case a.gathers() && a.awaitOthers():
		a.writeSettled()
	default:
		if a.write() {
			a.startSync()
		}
	}
}

// gathers says whether requests that come together are committed together.
func (a *queue) gathers() bool {
	return len(a.waiting) > 0 && a.config.SyncWithin == 0 && a.config.CommitDelay == 0
}

// spin is the longest wait for which no timer is set: timers come up to a
// millisecond late.
const spin = time.Millisecond

// awaitOthers sees to another flush later if others are to join what waits, and
// says whether that is so.
func (a *queue) awaitOthers() bool {
	left := a.round.wait(len(a.unsynced)+len(a.waiting), a.config.Clock)
	switch {
	case left <= 0:
		return false
	case left > spin: // whoever comes meanwhile brings a flush, too
		if !a.alarmed {
			a.alarmed = true
			a.config.Clock.AfterFunc(left-spin, func() { a.self.Tell(flush{}) })
		}
	default:
		runtime.Gosched()
		a.armed = true
		a.self.Tell(flush{})
	}
	return true
}

// write writes all that waits, and says whether that went well.
func (a *queue) write() bool {
	if err := a.writeWaiting(); err != nil {
		a.fail(a.storeError("write to", err))
		return false
	}
	return true
}

// writeWaiting writes all that waits, in as few commits as their size allows.
func (a *queue) writeWaiting() error {
	for len(a.waiting) > 0 || a.anySettled() {
		c := &a.scratch
		c.Done = a.settledDone(c.Done[:0])
		c.Messages = c.Messages[:0]
		n := a.gather(c)
		first, err := a.handle.Write(a.context(), *c)
		clear(c.Messages)
		if err != nil {
			return err
		}
		a.wrote(first, n)
		a.tellSettled()
	}
	if len(a.waiting) == 0 {
		a.collected = 0
	}
	if a.config.SyncWithin != 0 {
		a.commit(a.lastWritten)
	}
	a.config.Changed()
	return nil
}

// gather fills c with entries of the first requests and returns how many.
func (a *queue) gather(c *persistence.Commit) int {
	bytes := 0
	for i := range a.waiting {
		r := &a.waiting[i]
		for j := r.written; j < len(r.Entries); j++ {
			size := r.Entries[j].Message.Size()
			if len(c.Messages) > 0 && bytes+size > writeBytes {
				return len(c.Messages)
			}
			bytes += size
			c.Messages = append(c.Messages, r.Entries[j])
		}
	}
	return len(c.Messages)
}

// wrote notes that the first n entries were written, from seq first on.
func (a *queue) wrote(first types.Seq, n int) {
	if n == 0 {
		return
	}
	a.lastWritten = first + types.Seq(n-1)
	a.dirty = true
	whole := 0
	for i := range a.waiting {
		r := &a.waiting[i]
		take := min(n, len(r.Entries)-r.written)
		if r.written == 0 {
			r.first = first
		}
		r.written += take
		first += types.Seq(take)
		n -= take
		if r.written < len(r.Entries) {
			break
		}
		whole++
	}
	if len(a.unsynced) == 0 {
		a.unsynced = append(a.spare[:0], a.waiting[:whole]...)
		a.spare = a.unsynced[:0]
	} else {
		a.unsynced = append(a.unsynced, a.waiting[:whole]...)
	}
	rest := copy(a.waiting, a.waiting[whole:])
	clear(a.waiting[rest:])
	a.waiting = a.waiting[:rest]
}

// commit makes everything up to last visible, and answers those who wait for it.
func (a *queue) commit(last types.Seq) {
	if last > a.committed {
		a.committed = last
		if a.hungry {
			a.hungry = false
			a.connection.Tell(Available{last})
		}
	}
	a.answer(&a.unsynced, a.covered(last), nil)
}

// covered is how many of the written requests lie below last or end there.
func (a *queue) covered(last types.Seq) int {
	n := 0
	for n < len(a.unsynced) && a.unsynced[n].last() <= last {
		n++
	}
	return n
}

// answer takes the first n requests out of list and answers them. Should an
// answer fail, the others are still in the list.
func (a *queue) answer(list *[]request, n int, err error) {
	var cost Cost
	for i := range (*list)[:n] {
		r := &(*list)[i]
		cost, r.cost = cost.plus(r.cost), Cost{}
	}
	if cost != (Cost{}) {
		a.queue.admission.Release(cost)
	}
	for range n {
		r := (*list)[0]
		(*list)[0] = request{}
		*list = (*list)[1:]
		if err != nil {
			r.first = 0
		}
		r.Done.Stored(r.first, err)
	}
}

// startSync syncs what was written, unless a sync is under way: the next one
// covers it. Where messages count before they are synced it is done later.
func (a *queue) startSync() {
	switch d := a.config.SyncWithin; {
	case !a.dirty || d < 0:
	case d == 0 && a.sync == nil:
		a.beginSync()
	case d > 0 && a.timer == nil:
		due := syncDue{a.life}
		a.timer = a.config.Clock.AfterFunc(d, func() { a.self.Tell(due) })
	}
}

func (a *queue) beginSync() {
	s := &syncing{upTo: a.lastWritten, since: a.config.Clock.Now(), done: make(chan struct{})}
	a.sync, a.dirty = s, false
	handle, ctx, self, clock := a.handle, a.context(), a.self, a.config.Clock
	begun := make(chan struct{})
	go func() {
		close(begun)
		s.err = handle.Sync(ctx)
		s.took = clock.Now().Sub(s.since)
		close(s.done)
		self.Tell(synced{s})
	}()
	<-begun // before those are answered who will keep the processors busy
}

// synced takes note of the end of a sync. One that this role has not started,
// or has given up, does not count.
func (a *queue) synced(s *syncing) {
	if s != a.sync || a.handle == nil {
		return
	}
	a.sync = nil
	if s.err != nil {
		a.fail(a.storeError("sync", s.err))
		return
	}
	a.queue.syncs.Add(1)
	all := len(a.unsynced) + len(a.waiting)
	a.round.over(all, s.took, a.config.Clock)
	a.alarmed = false
	if a.config.SyncWithin == 0 {
		var err error
		if a.config.CommitDelay == 0 && a.round.hurry(all-a.covered(s.upTo)) {
			if err = a.writeWaiting(); err == nil {
				a.startSync()
			}
		}
		a.commit(s.upTo)
		if err != nil {
			a.fail(a.storeError("write to", err))
			return
		}
	}
	switch {
	case a.overdue:
		a.overdue = false
		a.beginSync()
	case len(a.waiting) > 0:
		a.arm()
	default:
		a.startSync()
	}
	a.config.Changed()
}

// syncDue begins the sync that may not be put off any longer.
func (a *queue) syncDue(m syncDue) {
	if m.life != a.life {
		return
	}
	a.timer = nil
	switch {
	case a.handle == nil || !a.dirty:
	case a.sync != nil:
		a.overdue = true
	default:
		a.beginSync()
	}
}

// awaitSync waits for the sync that is under way, if any, and returns its error.
func (a *queue) awaitSync() error {
	s := a.sync
	if s == nil {
		return nil
	}
	a.sync = nil
	<-s.done
	return s.err
}

// answerAll answers all who wait with err.
func (a *queue) answerAll(err error) {
	a.collected = 0
	for _, list := range []*[]request{&a.unsynced, &a.waiting} {
		a.answer(list, len(*list), err)
		*list = nil
	}
}
