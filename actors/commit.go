package actors

import (
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	flushBytes = 256 << 10 // collect no more than this before writing
	writeBytes = 512 << 10 // one Write holds no more, but for one message that is larger

	// maxSyncs is how many syncs are under way at once. The second is for a disk
	// that is done before the thread that waits for it has a processor again.
	maxSyncs = 2
)

// request is an Enqueue on its way.
type request struct {
	Enqueue
	once    *onceRequest // nil: none of its entries is a repeat
	cost    Cost         // admitted, and not yet released
	written int          // how many of its entries were
	first   types.Seq    // of the first one
	write   uint64       // number of the Write that finished it
	whole   bool         // all of it is written
	since   time.Time    // of the first in its commit: when it came, if that is asked for
}

// committing is the part of a queue that makes messages durable, many at a
// time: what arrives while a commit is under way becomes the next one.
//
//	waiting ──Write──▶ unsynced ──Sync──▶ answered        (sync before commit)
//	waiting ──Write──▶ answered … Sync                    (sync later, or never)
type committing struct {
	waiting   []request
	collected int64 // bytes of waiting
	notes     int   // requests of waiting that have a Note
	armed     bool  // a flush is on its way

	unsynced    []request
	spare       []request // memory for unsynced
	strict      []request // written, and answered only when synced, whatever the policy
	lastWritten types.Seq
	writes      uint64     // how many there were
	syncs       []*syncing // under way, in order; see maxSyncs
	dirty       bool       // written and not synced, and no sync of it under way
	safe        types.Seq  // synced up to here
	wanting     bool       // the connection waits for more to be synced
	timer       func()     // stops the timer of the next sync, if one runs
	overdue     bool       // the next sync is to begin when this one ends

	round
	alarmed bool               // a timer brings a flush in this round
	scratch persistence.Commit // its memory is used again
}

// syncing is a Sync that runs beside the actor.
type syncing struct {
	upTo  types.Seq
	write uint64 // number of the last Write that it covers
	since time.Time
	over  bool // it has ended, and waits for those before it
	took  time.Duration
	err   error
	done  chan struct{}
}

// enqueue takes a request into the next commit. once is nil if none of its entries
// is a repeat.
func (a *queue) enqueue(m Enqueue, once *onceRequest) {
	r := request{Enqueue: m, once: once, cost: CostOf(m.Entries)}
	if a.short != nil && a.handle != nil && len(m.Entries) > 0 {
		a.turnAway([]request{r})
		return
	}
	if m.Note != nil {
		if a.handle != nil && len(a.marks) > 0 { // an older mark must not come behind a newer one
			a.writeSettled()
		}
		a.notes++
	}
	a.stamp(&r)
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
// the next one; on a quick disk it begins at once, or they are written meanwhile.
func (a *queue) flush() {
	a.armed = false
	switch {
	case a.handle == nil:
		a.noteLeft()
	case len(a.syncs) > 0 && a.gathers() && a.round.hurry(len(a.waiting)):
		if a.write() {
			a.syncBeside()
		}
	case len(a.syncs) > 0 && a.gathers() && a.collected == 0: // nothing but Notes, which are small
		a.write()
	case len(a.syncs) > 0:
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
	for len(a.waiting) > 0 || a.anySettled() || a.dropsDue() {
		c := &a.scratch
		a.beginCommit(c)
		n, whole := a.gather(c, len(a.waiting))
		a.keep(c)
		a.overflow(c)
		first, err := a.handle.Write(a.context(), *c)
		clear(c.Messages)
		if persistence.Refused(err) {
			a.unrecorded = true
			a.takeBack()
			if errors.Is(err, types.ErrDiskFull) {
				a.runShort(err)
				continue
			}
			if err = a.sortOut(); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		a.wrote(first, n, whole)
		a.sinceCheck++
		a.tellSettled()
		a.noteDrops()
	}
	if len(a.waiting) == 0 {
		a.collected, a.notes = 0, 0
	}
	if a.config.SyncWithin != 0 {
		a.commit(a.lastWritten, a.writes)
	}
	a.checkCompaction()
	a.config.Changed()
	return nil
}

// gather fills c with the first requests, at most some many, and returns how many
// entries that are, and how many requests they finish. What is a repeat is left out.
func (a *queue) gather(c *persistence.Commit, most int) (entries, whole int) {
	a.deciding.begin()
	a.importing.begin()
	defer a.recordImports(c)
	bytes := 0
	for i := range a.waiting[:most] {
		r := &a.waiting[i]
		if bytes += r.Note.size(); i > 0 && bytes > writeBytes {
			return len(c.Messages), i
		}
		if r.Note != nil && len(c.Messages) > 0 && bytes+int(r.cost.Bytes) > writeBytes {
			return len(c.Messages), i // its entries are not to be parted
		}
		for j := r.written; j < len(r.Entries); j++ {
			if r.once != nil && a.isRepeat(&r.Entries[j], r.once.of(j)) {
				a.skipped = append(a.skipped, skipped{i, j})
				continue
			}
			size := r.Entries[j].Message.Size()
			if len(c.Messages) > 0 && bytes+size > writeBytes {
				return len(c.Messages), i
			}
			bytes += size
			a.expires(r.Entries[j].Message.Expiry)
			c.Messages = append(c.Messages, r.Entries[j])
			if r.once != nil {
				a.remember(c, &r.Entries[j], r.once.of(j))
			}
		}
		r.Note.join(c)
		a.joinOrigins(c, r.Note)
	}
	return len(c.Messages), most
}

// wrote notes that the first n entries were written, from seq first on, and that
// the first requests, whole in number, are finished by that.
func (a *queue) wrote(first types.Seq, n, whole int) {
	if n == 0 && whole == 0 {
		return
	}
	a.writes++
	a.dirty = true
	if n > 0 {
		a.lastWritten = first + types.Seq(n-1)
	}
	for i := range a.waiting[:min(whole+1, len(a.waiting))] {
		r := &a.waiting[i]
		r.write = a.writes
		take := 0
		if r.once != nil {
			take = a.wroteOnce(r, i, first, n)
		} else if take = min(n, len(r.Entries)-r.written); take > 0 {
			if r.written == 0 {
				r.first = first
			}
			r.written += take
		}
		first += types.Seq(take)
		n -= take
	}
	for i := range a.waiting[:whole] {
		a.waiting[i].whole = true
		a.unanswered = a.unanswered.plus(a.waiting[i].cost)
	}
	whole = a.keepStrict(whole)
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

// commit makes everything up to last visible, and answers those who wait for
// what was written up to that Write.
func (a *queue) commit(last types.Seq, write uint64) {
	if last > a.committed {
		a.committed = last
		a.available(last)
	}
	a.answer(&a.unsynced, covered(a.unsynced, write), nil)
}

// covered is how many of these requests that Write, or an earlier one, finished.
func covered(list []request, write uint64) int {
	n := 0
	for n < len(list) && list[n].write <= write {
		n++
	}
	return n
}

// answer takes the first n requests out of list and answers them. Should an
// answer fail, the others are still in the list.
func (a *queue) answer(list *[]request, n int, err error) {
	var cost, written Cost
	for i := range (*list)[:n] {
		r := &(*list)[i]
		cost = cost.plus(r.cost)
		if r.whole {
			written = written.plus(r.cost)
		}
		r.cost = Cost{}
	}
	a.unanswered = a.unanswered.minus(written)
	switch {
	case cost == (Cost{}):
	case a.queue.admission.counts():
		a.queue.admission.settle(cost, a.queue.stored(), a.unanswered)
	default:
		a.queue.admission.Release(cost)
	}
	for range n {
		r := (*list)[0]
		(*list)[0] = request{}
		*list = (*list)[1:]
		if err != nil {
			r.first = 0
		} else {
			if r.once != nil {
				r.tellRepeated()
			}
			a.timed(&r)
		}
		r.Done.Stored(r.first, err)
	}
}

// startSync syncs what was written, unless a sync is under way: the next one
// covers it. Where messages count before they are synced it is done later.
func (a *queue) startSync() {
	switch d := a.config.SyncWithin; {
	case !a.dirty:
	case (d == 0 || len(a.strict) > 0) && len(a.syncs) == 0:
		a.beginSync()
	case d > 0 && a.timer == nil:
		due := syncDue{a.life}
		a.timer = a.config.Clock.AfterFunc(d, func() { a.self.Tell(due) })
	}
}

// syncBeside syncs what was written even if a sync is under way.
func (a *queue) syncBeside() {
	if a.dirty && len(a.syncs) < maxSyncs {
		a.beginSync()
	}
}

func (a *queue) beginSync() {
	s := &syncing{upTo: a.lastWritten, write: a.writes, since: a.config.Clock.Now(), done: make(chan struct{})}
	a.syncs, a.dirty = append(a.syncs, s), false
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

// synced takes note of the end of a sync, once those before it have ended: what
// they were for must not be lost to a failure that only they were told of. One
// that this role has not started, or has given up, does not count.
func (a *queue) synced(s *syncing) {
	s.over = slices.Contains(a.syncs, s)
	for a.handle != nil && len(a.syncs) > 0 && a.syncs[0].over {
		first := a.syncs[0]
		a.syncs = slices.Delete(a.syncs, 0, 1)
		a.syncedUpTo(first)
	}
}

func (a *queue) syncedUpTo(s *syncing) {
	if s.err != nil {
		a.fail(a.storeError("sync", s.err))
		return
	}
	a.queue.syncs.Add(1)
	a.safe = max(a.safe, s.upTo)
	all := len(a.unsynced) + len(a.waiting)
	a.round.over(all, s.took, a.config.Clock)
	a.alarmed = false
	if a.config.SyncWithin == 0 {
		var err error
		if a.config.CommitDelay == 0 && a.round.hurry(all-covered(a.unsynced, s.write)) {
			if err = a.writeWaiting(); err == nil {
				a.syncBeside()
			}
		}
		a.commit(s.upTo, s.write)
		if err != nil {
			a.fail(a.storeError("write to", err))
			return
		}
	}
	a.answer(&a.strict, covered(a.strict, s.write), nil)
	if a.wanting {
		a.wanting = false
		a.connection.Tell(Available{a.committed})
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
	case len(a.syncs) > 0:
		a.overdue = true
	default:
		a.beginSync()
	}
}

// awaitSyncs waits for the syncs that are under way and returns their errors.
func (a *queue) awaitSyncs() error {
	var errs []error
	for _, s := range a.syncs {
		<-s.done
		errs = append(errs, s.err)
	}
	a.syncs = nil
	return errors.Join(errs...)
}

// answerAll answers all who wait with err.
func (a *queue) answerAll(err error) {
	a.collected, a.notes = 0, 0
	for _, list := range []*[]request{&a.unsynced, &a.strict, &a.waiting} {
		a.answer(list, len(*list), err)
		*list = nil
	}
}
