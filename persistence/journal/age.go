package journal

import (
	"time"

	"github.com/mqttdb/mqttdb/persistence"
)

// longestAbsence is how much of a time during which the queue was not open counts
// (S7.7): a wall clock that was wrong must not make messages old.
const longestAbsence = 30 * 24 * time.Hour

// youngest is what the age clock of a new queue shows, in ms: so that what was
// accepted some time before, elsewhere, was born later than 0.
const youngest = uint64(longestAbsence / time.Millisecond)

// ageClock tells how old messages are, whatever becomes of the wall clock. While the
// queue is open it goes by the monotonic clock, on which the times rest that Now
// returns. It is stored with each change of the state, beside what the wall clock
// showed: what lies between that and the next time that the queue is opened is
// taken from the latter (S7.7). It shows milliseconds, from the creation of the
// queue on.
type ageClock struct {
	origin time.Time // of this life
	base   uint64    // what it showed then
	unsure bool      // the wall clock did not say what lay before

	epoch int64 // what the wall clock shows, in Unix ms, when this one is 0, as far as is known
	set   bool  // epoch is
}

// start begins a life at now. The clock showed that age when the wall clock showed
// at, in Unix ms; 0: it is new.
func (c *ageClock) start(now time.Time, age, at uint64) {
	*c = ageClock{origin: now, base: max(age, youngest)}
	if age == 0 {
		return
	}
	away := time.Duration(now.UnixMilli()-int64(at)) * time.Millisecond
	if away < 0 || away > longestAbsence {
		c.unsure = true
		return
	}
	c.base += uint64(away / time.Millisecond)
}

// shows is what the clock shows at now.
func (c *ageClock) shows(now time.Time) uint64 {
	return c.base + uint64(max(0, now.Sub(c.origin))/time.Millisecond)
}

// birth is what the clock showed at a time before now. Should there not be such a
// time it is now.
func (c *ageClock) birth(at, now time.Time) uint64 {
	if c.waited(at, now) == 0 {
		return c.shows(now)
	}
	// Both clocks are read to the nanosecond, and are stored in ms. Their difference
	// is kept as long as it is true to some ms, so that it is stored once; what is
	// rounded makes messages older.
	epoch := at.Sub(c.origin) - time.Duration(at.UnixNano())
	ms := -int64(epoch/time.Millisecond) - int64(c.base) + 1
	if off := ms - c.epoch; !c.set || off > 0 || off < -1 {
		c.epoch, c.set = ms, true
	}
	return uint64(max(1, at.UnixMilli()-c.epoch))
}

// born is what the clock showed when a message was accepted. Should that not be known
// it is what the wall clock says, if that can be.
func (c *ageClock) born(r *persistence.Record, now time.Time) uint64 {
	if r.Born != 0 && r.Born <= c.shows(now) {
		return r.Born
	}
	return c.shows(now) - uint64(c.waited(r.Enqueued, now)/time.Millisecond)
}

// waited is how long it is since at, or nothing, if that cannot be.
func (c *ageClock) waited(at, now time.Time) time.Duration {
	if waited := now.Sub(at); waited >= 0 && waited <= longestAbsence {
		return waited
	}
	return 0
}

// time is when the clock showed that age, as a time that now can be compared with.
func (c *ageClock) time(age uint64, now time.Time) time.Time {
	return now.Add(time.Duration(int64(age)-int64(c.base))*time.Millisecond - now.Sub(c.origin))
}

// recoverAge starts the age clock with what was found: the newest state or delta,
// or messages that were stored since.
func (q *Queue) recoverAge(f found) {
	age, at := q.books.age, q.books.clock
	if newest := f.newestBatch(); newest != nil {
		if b, err := q.decode(newest.key); err == nil && len(b.Records) > 0 {
			last := &b.Records[len(b.Records)-1]
			if last.Born > age {
				age, at = last.Born, unixMilli(last.Enqueued)
			}
		}
	}
	now := q.o.Now()
	q.age.start(now, age, at)
	if q.age.unsure {
		q.o.Logger.Warn("how long the gateway was off is not known: the clock was set, or that was more than 30 days. For max_age and ttl it counts as nothing",
			"queue", q.o.Name, "closed", time.UnixMilli(int64(at)), "opened", now)
	}
}

// newestBatch is the one that was written last, if no state or delta was since, and
// not on account of older ones.
func (f found) newestBatch() *head {
	n := len(f.batches)
	if n == 0 || f.batches[n-1].Flags&persistence.FlagRewritten != 0 {
		return nil
	}
	newest := &f.batches[n-1]
	for _, list := range [][]head{f.states, f.deltas} {
		if n := len(list); n > 0 && list[n-1].LSN >= newest.LSN {
			return nil
		}
	}
	return newest
}

func unixMilli(t time.Time) uint64 { return uint64(max(0, t.UnixMilli())) }
