package journal

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// maxState is how large the state of a queue may grow, in bytes, nearly: it has
	// to fit into one entry.
	maxState = 7 << 20

	// reserve is by how much it may be larger for what is not a new message: that
	// makes room again, sooner or later.
	reserve = 512 << 10
)

// books is the state of the queue that the log records: which numbers are
// done, and the marks.
type books struct {
	store     persistence.StoreID
	next      types.Seq
	floor     types.Seq
	done      persistence.Set                   // above floor
	released  persistence.Ranges                // above floor, not done
	abandoned [types.Reasons]persistence.Ranges // above floor, not done
	dead      persistence.Letters
	kept      persistence.Set // they were sent
	counters  persistence.Counters
	marks     map[string][]byte
	markBytes int
	suspect   types.Seq // up to here messages may have been delivered before
	age       uint64    // what the age clock showed, and
	clock     uint64    // the wall clock, in Unix ms, when that was noted
	expiring  types.Seq // none above it has an expiry of its own

	reclaimed, compacted uint64 // bytes that compaction gave back; when it ended last, in Unix ms
}

// check says whether the state has room for c. If not that may change: it is no
// fault of c.
func (b *books) check(c persistence.Commit) error {
	const run = 24 // bytes that one may take, at most
	size := b.done.Size() + b.dead.Size() + b.kept.Size() + run*(len(b.released)+len(c.Released)+len(c.Withdrawn)+len(c.Done)+len(c.Abandoned)) + b.markBytes
	for _, d := range c.Done {
		size += min(len(d.Cause), persistence.MaxCause)
	}
	for _, rs := range b.abandoned {
		size += run * len(rs)
	}
	for _, m := range c.Marks {
		size += markSize(m.Key, m.Value) - markSize(m.Key, b.marks[m.Key])
	}
	most := maxState
	if len(c.Messages) == 0 {
		most += reserve
	}
	if size > most {
		return fmt.Errorf("%w: the marks of a queue and what is done of it must fit in %d bytes", types.ErrQueueFull, most)
	}
	return nil
}

// accept gives out n numbers, or takes back the last −n.
func (b *books) accept(n int) {
	b.next += types.Seq(n)
	b.counters.Accepted += uint64(n)
}

// apply takes the changes of c and returns them as a delta, nil if there are
// none.
func (b *books) apply(c persistence.Commit) *persistence.Delta {
	if len(c.Done) == 0 && len(c.Released) == 0 && len(c.Withdrawn) == 0 && len(c.Abandoned) == 0 && len(c.Marks) == 0 && len(c.Freed) == 0 && len(c.Lapsed) == 0 {
		return nil
	}
	d := &persistence.Delta{Marks: c.Marks, Freed: c.Freed, Lapsed: c.Lapsed}
	for _, a := range c.Abandoned {
		for r := range b.open(a.Range) {
			for _, fresh := range b.abandon(r, a.Reason) {
				d.Abandoned = append(d.Abandoned, persistence.Done{Range: fresh, Reason: a.Reason})
			}
		}
	}
	slices.SortFunc(d.Abandoned, byFirst)
	for _, r := range c.Released {
		for r := range b.open(r) {
			b.released.Add(r)
			d.Released.Add(r)
		}
	}
	for _, r := range c.Withdrawn {
		d.Withdrawn = append(d.Withdrawn, b.withdraw(r)...)
	}
	for _, done := range c.Done {
		r := b.given(done.Range)
		if done.Reason == types.Dead {
			b.setAside(r, causeOf(done), &d.Dead)
		}
		if done.Keep {
			b.keep(r, &d.Kept)
		}
		b.counters.Left[done.Reason] += b.finish(r)
		d.Done.Add(r)
	}
	b.free(c.Freed, c.Lapsed)
	b.mark(c.Marks)
	b.raiseFloor()
	b.stamp(d)
	return d
}

// stamp fills in what is absolute in a delta.
func (b *books) stamp(d *persistence.Delta) {
	d.Next, d.Floor, d.Removal, d.Counters = b.next, b.floor, b.removal(), b.counters
	d.Suspect, d.Age, d.Clock, d.Expiring = b.suspect, b.age, b.clock, b.expiring
}

// given returns the part of r that was given out and lies above the floor; it
// may be empty: the last number below the first.
func (b *books) given(r persistence.Range) persistence.Range {
	return persistence.Range{First: max(r.First, b.floor+1), Last: min(r.Last, b.next-1)}
}

// open yields the numbers of r that were given out and are not done.
func (b *books) open(r persistence.Range) iter.Seq[persistence.Range] {
	return b.done.Missing(b.given(r))
}

// pending is how many numbers open yields.
func (b *books) pending(r persistence.Range) uint64 {
	r = b.given(r)
	if r.Last < r.First {
		return 0
	}
	return r.Count() - b.done.Within(r)
}

// finish makes r done and returns how many numbers of it were not.
func (b *books) finish(r persistence.Range) uint64 {
	if r.Last < r.First {
		return 0
	}
	b.forget(r)
	return b.done.Add(r)
}

// removal is up to where the log need not hold anything any more [S7.1].
func (b *books) removal() types.Seq {
	low := b.floor
	for l := range b.dead.All() {
		low = min(low, l.Range.First-1)
		break
	}
	for r := range b.kept.All() {
		low = min(low, r.First-1)
		break
	}
	return low
}

// setAside makes those of r that are not done dead letters, and adds them to fresh.
func (b *books) setAside(r persistence.Range, cause string, fresh *persistence.Letters) {
	for r := range b.done.Missing(r) {
		b.dead.Add(r, cause)
		fresh.Add(r, cause)
	}
}

// keep keeps those of r that are not done, and adds them to fresh. What was
// abandoned was not to be sent.
func (b *books) keep(r persistence.Range, fresh *persistence.Set) {
	for r := range b.done.Missing(r) {
		for _, r := range b.notAbandoned(r) {
			b.kept.Add(r)
			fresh.Add(r)
		}
	}
}

// free notes that these dead letters, and these messages that were sent, need not be
// kept any longer.
func (b *books) free(letters, sent persistence.Ranges) {
	for _, r := range letters {
		b.dead.Remove(r)
	}
	for _, r := range sent {
		b.kept.Remove(r)
	}
}

// release says that nothing of r need be kept any longer, and how much was.
func (b *books) release(r persistence.Range) uint64 { return b.dead.Remove(r) + b.kept.Remove(r) }

// retained is how many numbers of r are done and kept.
func (b *books) retained(r persistence.Range) uint64 { return b.dead.Within(r) + b.kept.Within(r) }

// causeOf is what is kept of the cause of d.
func causeOf(d persistence.Done) string {
	if len(d.Cause) <= persistence.MaxCause {
		return d.Cause
	}
	return strings.ToValidUTF8(d.Cause[:persistence.MaxCause], "")
}

// needs says whether a message is still needed: it is pending, or a dead letter, or
// was sent and is kept.
func (b *books) needs(q types.Seq) bool {
	if q > b.floor && q < b.next && !b.done.Contains(q) || b.kept.Contains(q) {
		return true
	}
	_, dead := b.dead.Why(q)
	return dead
}

// forget ends the handshakes of r.
func (b *books) forget(r persistence.Range) {
	b.released.Remove(r)
	for reason := range b.abandoned {
		b.abandoned[reason].Remove(r)
	}
}

// abandon notes why the numbers of r were abandoned, and returns those that had
// not been already.
func (b *books) abandon(r persistence.Range, why types.Reason) persistence.Ranges {
	fresh := b.notAbandoned(r)
	for _, r := range fresh {
		b.abandoned[why].Add(r)
	}
	return fresh
}

// notAbandoned returns those of r that are not.
func (b *books) notAbandoned(r persistence.Range) persistence.Ranges {
	list := persistence.Ranges{r}
	for _, before := range b.abandoned {
		var left persistence.Ranges
		for _, r := range list {
			left = append(left, before.Missing(r)...)
		}
		list = left
	}
	return list
}

// withdraw lets those of r that are released, and not abandoned, be released no
// longer, and returns them.
func (b *books) withdraw(r persistence.Range) persistence.Ranges {
	var list persistence.Ranges
	for _, was := range b.released {
		if part := (persistence.Range{First: max(was.First, r.First), Last: min(was.Last, r.Last)}); part.First <= part.Last {
			list = append(list, b.notAbandoned(part)...)
		}
	}
	for _, r := range list {
		b.released.Remove(r)
	}
	return list
}

// whyAbandoned says why a message was abandoned, if it was.
func (b *books) whyAbandoned(q types.Seq) (types.Reason, bool) {
	for reason, rs := range b.abandoned {
		if rs.Contains(q) {
			return types.Reason(reason), true
		}
	}
	return 0, false
}

// raiseFloor lets the floor pass over what is done directly above it.
func (b *books) raiseFloor() {
	for r := range b.done.From(b.floor + 1) {
		if r.First == b.floor+1 {
			b.floor = r.Last
			b.done.RemoveTo(b.floor)
		}
		break
	}
	if b.floor >= b.suspect {
		b.suspect = 0
	}
}

func (b *books) mark(marks []persistence.Mark) {
	for _, m := range marks {
		b.markBytes += markSize(m.Key, m.Value) - markSize(m.Key, b.marks[m.Key])
		if len(m.Value) == 0 {
			delete(b.marks, m.Key)
		} else {
			b.marks[m.Key] = slices.Clone(m.Value)
		}
	}
}

// markSize is what a mark takes, in bytes; nothing without a value.
func markSize(key string, value []byte) int {
	if len(value) == 0 {
		return 0
	}
	return len(key) + len(value) + 8
}

// replay applies a delta that was read from the log.
func (b *books) replay(d *persistence.Delta) {
	b.next, b.floor = max(b.next, d.Next), max(b.floor, d.Floor)
	b.counters, b.suspect, b.age, b.clock, b.expiring = d.Counters, d.Suspect, d.Age, d.Clock, d.Expiring
	if d.Compacted > 0 {
		b.reclaimed, b.compacted = d.Reclaimed, d.Compacted
	}
	if b.floor > 0 {
		b.forget(persistence.Range{First: 1, Last: b.floor})
		b.done.RemoveTo(b.floor)
	}
	for r := range d.Done.From(b.floor + 1) {
		b.finish(r)
	}
	for _, a := range d.Abandoned {
		for r := range b.open(a.Range) {
			b.abandon(r, a.Reason)
		}
	}
	for _, r := range d.Released {
		for r := range b.open(r) {
			b.released.Add(r)
		}
	}
	for _, r := range d.Withdrawn {
		b.released.Remove(r)
	}
	for l := range d.Dead.All() {
		b.dead.Add(l.Range, l.Why)
	}
	for r := range d.Kept.All() {
		b.kept.Add(r)
	}
	b.free(d.Freed, d.Lapsed)
	b.mark(d.Marks)
	b.raiseFloor()
}

// whole returns the state as a delta on nothing.
func (b *books) whole() *persistence.Delta {
	d := &persistence.Delta{Done: b.done, Released: b.released, Dead: b.dead, Kept: b.kept, Reclaimed: b.reclaimed, Compacted: b.compacted}
	b.stamp(d)
	for reason, rs := range b.abandoned {
		for _, r := range rs {
			d.Abandoned = append(d.Abandoned, persistence.Done{Range: r, Reason: types.Reason(reason)})
		}
	}
	slices.SortFunc(d.Abandoned, byFirst)
	for key, value := range b.eachMark("") {
		d.Marks = append(d.Marks, persistence.Mark{Key: key, Value: value})
	}
	return d
}

// eachMark yields the marks whose keys begin with prefix in order of keys.
func (b *books) eachMark(prefix string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		var keys []string
		for key := range b.marks {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			if value, ok := b.marks[key]; ok && !yield(key, value) {
				return
			}
		}
	}
}

func (b *books) state() persistence.State {
	return persistence.State{
		StoreID: b.store, Next: b.next, Floor: b.floor,
		Done: b.done.Snapshot(), Released: slices.Clone(b.released),
		Dead: b.dead.Count(), Sent: b.kept.Snapshot(), Kept: b.kept.Count(), Counters: b.counters, DuplicatesPossible: b.suspect != 0,
	}
}

// balance makes accepted the sum of what left and what is pending. The messages
// behind the last counters that were written are not in those; accepted is with
// them. Loss of power may take an older acknowledgement and spare a newer one,
// whose counters know of both: what is pending again has not left.
func (b *books) balance(accepted uint64) {
	sum := b.pending(persistence.Range{First: 1, Last: b.next - 1})
	for _, n := range b.counters.Left {
		sum += n
	}
	for reason := range b.counters.Left {
		if sum <= accepted {
			break
		}
		back := min(sum-accepted, b.counters.Left[reason])
		b.counters.Left[reason] -= back
		sum -= back
	}
	b.counters.Accepted = sum
}

func byFirst(a, b persistence.Done) int { return cmp.Compare(a.Range.First, b.Range.First) }
