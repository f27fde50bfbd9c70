package journal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// jump is how far the numbers jump when some may have been given out that the
// log does not know: more than there are packet ids (S2.3).
const jump = 65536

// recover rebuilds the state from what was found.
func (q *Queue) recover(f found, damage []Damage) error {
	byLSN := func(a, b head) int { return cmp.Compare(a.LSN, b.LSN) }
	slices.SortFunc(f.states, byLSN)
	slices.SortFunc(f.deltas, byLSN)
	slices.SortFunc(f.batches, byLSN)
	for _, heads := range [][]head{f.states, f.deltas, f.batches} {
		if n := len(heads); n > 0 {
			q.lsn = max(q.lsn, heads[n-1].LSN)
		}
	}
	q.written.Store(q.lsn)
	state, stateHead, err := q.recoverState(f.states)
	if err != nil {
		return err
	}
	stateless := state == nil && q.lsn > 0
	if stateless {
		q.o.Logger.Error("no readable state: what was delivered before may be delivered again", "queue", q.o.Name)
	}
	unreadable, err := q.replay(f.deltas, stateHead.LSN)
	if err != nil {
		return err
	}
	q.recoverIndex(f.batches, stateless)

	// Acknowledgements, or the newest messages, may be among what is damaged
	// where it lies in the segment of the state or behind it: all that is
	// older, the state includes.
	lost := stateless || unreadable > 0
	for _, d := range damage {
		lost = lost || d.Segment >= stateHead.segment
	}
	for _, segment := range f.foreign {
		lost = lost || segment >= stateHead.segment
	}
	unclean := state != nil && state.Lazy && !(state.Clean && q.lsn == stateHead.LSN)
	if lost {
		q.lsn += jump
		q.written.Store(q.lsn)
	}
	if lost || unclean {
		q.skip(jump)
	}
	q.writeOff(lost)
	q.index.recount(q.books.done, q.books.floor)
	q.collect(f)
	if lost {
		q.books.suspect = q.books.next - 1
		q.o.Logger.Warn("the store is damaged: messages may be delivered again", "queue", q.o.Name,
			"damaged_places", len(damage), "foreign_entries", len(f.foreign), "unreadable_deltas", unreadable,
			"quarantined", q.books.counters.Left[types.Quarantined])
		q.books.raiseFloor()
	}
	q.books.balance()
	return nil
}

// recoverState applies the newest readable state.
func (q *Queue) recoverState(states []head) (*persistence.Delta, head, error) {
	for i, h := range slices.Backward(states) {
		b, err := q.decode(h.key)
		if err == nil && b.Delta == nil {
			err = fmt.Errorf("%w: a state without content", types.ErrCorrupt)
		}
		if errors.Is(err, types.ErrCorrupt) || errors.Is(err, types.ErrNewerFormat) {
			q.o.Logger.Error("a state entry is unreadable", "queue", q.o.Name, "lsn", h.LSN, "error", err)
			continue
		} else if err != nil {
			return nil, head{}, err
		}
		q.books.replay(b.Delta)
		for _, older := range states[:i] {
			q.disk.stateWritten(older.entry)
		}
		q.disk.stateWritten(h.entry)
		return b.Delta, h, nil
	}
	return nil, head{}, nil
}

// replay applies the deltas above an LSN. It returns how many could not be
// read.
func (q *Queue) replay(deltas []head, above uint64) (unreadable int, err error) {
	for _, h := range deltas {
		if h.LSN <= above {
			continue
		}
		b, err := q.decode(h.key)
		if errors.Is(err, types.ErrCorrupt) || errors.Is(err, types.ErrNewerFormat) {
			unreadable++
			continue
		} else if err != nil {
			return 0, err
		}
		q.books.replay(b.Delta)
		q.disk.deltas++
	}
	return unreadable, nil
}

// recoverIndex indexes the batches, in order of LSN, so that a newer one takes
// the place of those whose runs it covers. Without a state the floor lies below
// the first batch.
func (q *Queue) recoverIndex(batches []head, stateless bool) {
	if stateless && len(batches) > 0 && q.books.floor == 0 {
		first := slices.MinFunc(batches, func(a, b head) int { return cmp.Compare(a.First, b.First) })
		q.books.floor = first.First - 1
		q.books.raiseFloor()
	}
	for _, h := range batches {
		if h.Last >= q.books.next {
			q.books.next = h.Last + 1
		}
		if h.Last <= q.books.floor {
			q.disk.garbage = append(q.disk.garbage, h.entry)
			continue
		}
		s := span{
			first: h.First, last: h.Last, key: h.key, segment: h.segment,
			size: uint32(h.size), count: h.Count, live: h.Count, delta: h.Flags&persistence.FlagDelta != 0,
		}
		i := q.index.search(h.First)
		j := i
		for j < len(q.index.spans) && q.index.spans[j].first <= h.Last {
			old := q.index.spans[j]
			if old.first < h.First || old.last > h.Last {
				// Runs that overlap in part are never written: one of the two
				// is not what it says. The newer is believed.
				q.o.Logger.Error("two batches claim the same numbers", "queue", q.o.Name, "lsn", h.LSN, "older", old.key)
			}
			q.disk.garbage = append(q.disk.garbage, entry{old.key, old.segment})
			j++
		}
		q.index.replace(i, j, s)
	}
}

// skip leaves n numbers out; they count as done (S2.3).
func (q *Queue) skip(n types.Seq) {
	q.books.done.Add(persistence.Range{First: q.books.next, Last: q.books.next + n - 1})
	q.books.next += n
	q.books.raiseFloor()
}

// writeOff finds the numbers that were given out, are not done, and that no
// batch holds: those messages are lost, and are counted as quarantined.
func (q *Queue) writeOff(lost bool) {
	var held persistence.Ranges
	for _, s := range q.index.spans {
		held.Add(s.run())
	}
	var gone uint64
	for _, r := range q.books.open(persistence.Range{First: 1, Last: q.books.next - 1}) {
		for _, r := range held.Missing(r) {
			gone += r.Count()
			q.books.finish(r)
		}
	}
	q.books.counters.Left[types.Quarantined] += gone
	q.books.raiseFloor()
	if gone > 0 {
		q.o.Logger.Error("messages are missing from the log", "queue", q.o.Name, "count", gone, "damage_seen", lost)
	}
}

// collect notes the entries that no one needs any more.
func (q *Queue) collect(f found) {
	for _, h := range f.deltas {
		if h.Count == 0 {
			q.disk.garbage = append(q.disk.garbage, h.entry)
		}
	}
	kept := map[uint64]bool{q.disk.newest.key: true}
	for _, s := range q.disk.states {
		kept[s.key] = true
	}
	queued := make(map[uint64]bool, len(q.disk.garbage))
	for _, g := range q.disk.garbage {
		queued[g.key] = true
	}
	for _, h := range f.states {
		if !kept[h.key] && !queued[h.key] {
			q.disk.garbage = append(q.disk.garbage, h.entry)
		}
	}
}

// recount counts what is live in each span. A batch that speaks for more
// numbers than it has messages was rewritten; what it lacks was done before.
func (x *index) recount(done persistence.Ranges, floor types.Seq) {
	x.live, x.dead = 0, 0
	for i := range x.spans {
		s := &x.spans[i]
		gone := done.Within(s.run())
		if floor >= s.first {
			gone += uint64(min(floor, s.last)-s.first) + 1
		}
		numbers := s.run().Count()
		s.live = uint32(min(numbers-min(gone, numbers), uint64(s.count)))
		x.count(*s, +1)
	}
}
