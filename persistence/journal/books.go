package journal

import (
	"iter"
	"slices"
	"sort"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// books is the state of the queue that the log records: which numbers are
// done, and the marks.
type books struct {
	store     persistence.StoreID
	next      types.Seq
	floor     types.Seq
	done      persistence.Ranges // above floor
	released  persistence.Ranges // above floor, not done
	abandoned []persistence.Done // above floor, not done; in order
	counters  persistence.Counters
	marks     map[string][]byte
	suspect   types.Seq // up to here messages may have been delivered before
	age       uint64

	newly persistence.Ranges // what apply made done, until the index was told
}

// accept gives out n numbers.
func (b *books) accept(n uint64) {
	b.next += types.Seq(n)
	b.counters.Accepted += n
}

// apply takes the changes of c and returns them as a delta, nil if there are
// none.
func (b *books) apply(c persistence.Commit) *persistence.Delta {
	if len(c.Done) == 0 && len(c.Released) == 0 && len(c.Abandoned) == 0 && len(c.Marks) == 0 {
		return nil
	}
	d := &persistence.Delta{Marks: c.Marks}
	for _, a := range c.Abandoned {
		for _, r := range b.open(a.Range) {
			b.abandon(persistence.Done{Range: r, Reason: a.Reason})
			d.Abandoned = append(d.Abandoned, persistence.Done{Range: r, Reason: a.Reason})
		}
	}
	slices.SortFunc(d.Abandoned, byFirst)
	for _, r := range c.Released {
		for _, r := range b.open(r) {
			b.released.Add(r)
			d.Released.Add(r)
		}
	}
	for _, done := range c.Done {
		for _, r := range b.open(done.Range) {
			b.counters.Left[done.Reason] += r.Count()
			b.newly.Add(r)
			d.Done.Add(r)
			b.finish(r)
		}
	}
	b.mark(c.Marks)
	b.raiseFloor()
	d.Next, d.Floor, d.Removal, d.Counters = b.next, b.floor, b.floor, b.counters
	d.Suspect, d.Age = b.suspect, b.age
	return d
}

// open returns the numbers of r that were given out and are not done.
func (b *books) open(r persistence.Range) persistence.Ranges {
	r.First, r.Last = max(r.First, b.floor+1), min(r.Last, b.next-1)
	if r.Last < r.First {
		return nil
	}
	return b.done.Missing(r)
}

// finish makes r done.
func (b *books) finish(r persistence.Range) {
	b.done.Add(r)
	b.forget(r)
}

// forget ends the handshakes of r.
func (b *books) forget(r persistence.Range) {
	b.released.Remove(r)
	b.abandoned = slices.DeleteFunc(b.abandoned, func(a persistence.Done) bool {
		return a.Range.First >= r.First && a.Range.Last <= r.Last
	})
}

// abandon notes a, one run per number, so that finish can take them singly.
func (b *books) abandon(a persistence.Done) {
	for s := a.Range.First; s <= a.Range.Last; s++ {
		if i, found := b.searchAbandoned(s); !found {
			b.abandoned = slices.Insert(b.abandoned, i, persistence.Done{Range: persistence.Range{First: s, Last: s}, Reason: a.Reason})
		}
	}
}

func (b *books) searchAbandoned(s types.Seq) (int, bool) {
	i := sort.Search(len(b.abandoned), func(i int) bool { return b.abandoned[i].Range.First >= s })
	return i, i < len(b.abandoned) && b.abandoned[i].Range.First == s
}

// raiseFloor lets the floor pass over what is done directly above it.
func (b *books) raiseFloor() {
	n := 0
	for n < len(b.done) && b.done[n].First <= b.floor+1 {
		b.floor = max(b.floor, b.done[n].Last)
		n++
	}
	b.done = slices.Delete(b.done, 0, n)
	if b.suspect != 0 && b.floor >= b.suspect {
		b.suspect = 0
	}
}

func (b *books) mark(marks []persistence.Mark) {
	for _, m := range marks {
		if len(m.Value) == 0 {
			delete(b.marks, m.Key)
		} else {
			b.marks[m.Key] = slices.Clone(m.Value)
		}
	}
}

// replay applies a delta that was read from the log.
func (b *books) replay(d *persistence.Delta) {
	b.next, b.floor = max(b.next, d.Next), max(b.floor, d.Floor)
	b.counters, b.suspect, b.age = d.Counters, d.Suspect, d.Age
	for _, r := range d.Released {
		b.released.Add(r)
	}
	for _, a := range d.Abandoned {
		b.abandon(a)
	}
	for _, r := range d.Done {
		b.finish(r)
	}
	b.mark(d.Marks)
	if below := (persistence.Range{First: 1, Last: b.floor}); b.floor > 0 {
		b.forget(below)
		b.done.Remove(below)
	}
	b.raiseFloor()
}

// whole returns the state as a delta on nothing.
func (b *books) whole() *persistence.Delta {
	d := &persistence.Delta{
		Next: b.next, Floor: b.floor, Removal: b.floor, Counters: b.counters,
		Done: b.done, Released: b.released, Abandoned: b.abandoned, Suspect: b.suspect, Age: b.age,
	}
	for key, value := range b.eachMark("") {
		d.Marks = append(d.Marks, persistence.Mark{Key: key, Value: value})
	}
	return d
}

// eachMark yields the marks whose keys begin with prefix in order of keys.
func (b *books) eachMark(prefix string) iter.Seq2[string, []byte] {
	var keys []string
	for key := range b.marks {
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return func(yield func(string, []byte) bool) {
		for _, key := range keys {
			if !yield(key, b.marks[key]) {
				return
			}
		}
	}
}

func (b *books) state() persistence.State {
	return persistence.State{
		StoreID: b.store, Next: b.next, Floor: b.floor,
		Done: slices.Clone(b.done), Released: slices.Clone(b.released),
		Counters: b.counters, DuplicatesPossible: b.suspect != 0,
	}
}

// balance makes accepted the sum of what left and what is pending: the messages
// behind the last counters that were written are not in those.
func (b *books) balance() {
	sum := b.state().Pending()
	for _, n := range b.counters.Left {
		sum += n
	}
	b.counters.Accepted = sum
}

func byFirst(a, b persistence.Done) int {
	switch {
	case a.Range.First < b.Range.First:
		return -1
	case a.Range.First > b.Range.First:
		return 1
	}
	return 0
}
