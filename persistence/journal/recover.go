package journal

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// jump is how many numbers are left out after an end without a close where
	// commits are not synced one by one (S2.3). Write lets no more be unsynced.
	jump = 65536
	// leap is more than the numbers, or the entries, that a segment of 8 MiB can
	// hold. So many are left out for each segment that may have held some which
	// the log does not know any more.
	leap = 1 << 21
)

// recover rebuilds the state from what was found.
func (q *Queue) recover(f found, c Contents) error {
	state, head, unreadable, err := q.recoverState(f.states)
	if err != nil {
		return err
	}
	stateless := state == nil && f.lsn > 0
	empty := state == nil && f.lsn == 0 && len(c.Record) > 0 // never used, or all of it is gone
	bad, err := q.replay(f.deltas, head.LSN)
	if err != nil {
		return err
	}
	unreadable += bad
	hit := f.hitSince(state, head, c)
	for _, e := range f.foreign {
		q.quarantine(e)
	}
	damaged := stateless || unreadable > 0 || hit.damaged
	unclean := state != nil && state.Lazy && !(state.Clean && f.lsn == head.LSN)
	accepted := q.books.counters.Accepted + q.recoverIndex(f, stateless)

	q.recoverAge(f)
	r := recovery{q: q}
	q.lsn = max(f.lsn, f.key)
	switch {
	case damaged || hit.torn || empty: // what looks cut off may be the loss of the last write
		n := leap * q.segmentsSince(head.segment, c)
		q.lsn += uint64(n)
		r.skip(n)
	case unclean:
		r.skip(jump)
	}
	q.written.Store(q.lsn)
	r.writeOff(stateless)
	r.fillHoles(damaged || hit.torn)
	q.books.raiseFloor()
	q.index.settle(slices.Values([]persistence.Range{{First: 1, Last: q.books.next}}), &q.books)
	q.books.balance(accepted)
	switch {
	case damaged:
		q.books.suspect = q.books.next - 1
		q.o.Logger.Error("the store is damaged: messages may be delivered again", "queue", q.o.Name,
			"state_lost", stateless, "damaged_places", len(c.Damage), "foreign_entries", len(f.foreign),
			"unreadable_entries", unreadable, "messages_missing", r.lost)
		q.books.raiseFloor()
	case r.lost > 0 || hit.before:
		q.o.Logger.Error("the store is damaged", "queue", q.o.Name, "damaged_places", len(c.Damage), "messages_missing", r.lost)
	case hit.torn:
		q.o.Logger.Warn("the last write is cut off, as happens when the process is killed: it had not been acknowledged", "queue", q.o.Name)
	}
	q.recorded, q.missing = r.found, r.lost
	return nil
}

// hit says where damage lies.
type hit struct {
	// damaged: acknowledgements, or the newest messages, may be among it: it is
	// in the segment of the newest state or behind it. All that is older, that
	// state includes; one that was written by Close, also what is in its segment.
	damaged bool
	// torn: likewise, but it is a write that was cut off, as a kill leaves it: it
	// had not been acknowledged, and what it settled was in flight.
	torn   bool
	before bool // it lies before that, and costs messages at most
}

func (f found) hitSince(state *persistence.Delta, head head, c Contents) (h hit) {
	from := head.segment
	closed := state != nil && state.Clean
	if closed {
		from++
	}
	if n := len(c.Segments); n > 0 && c.Segments[n-1].Ended {
		h.damaged = !closed || f.lsn != head.LSN // else something followed
	}
	for _, d := range c.Damage {
		switch {
		case d.Segment < from:
			h.before = true
		case d.Last:
			h.torn = true
		default:
			h.damaged = true
		}
	}
	h.damaged = h.damaged || slices.ContainsFunc(f.foreign, func(e entry) bool { return e.segment >= from })
	return h
}

// segmentsSince counts the segments that existed since the given one was
// written, as far as is known. Every life of the queue begins a segment, so that
// what one left out because of damage the next one knows to have been possible,
// even if nothing of it is left.
func (q *Queue) segmentsSince(segment uint64, c Contents) types.Seq {
	last := segment
	for _, s := range c.Segments {
		last = max(last, s.ID)
		if s.Ended {
			last = max(last, s.ID+1)
		}
	}
	for _, d := range c.Damage {
		last = max(last, d.Segment+uint64(max(d.Bytes-1, 0)/q.o.SegmentSize))
	}
	return types.Seq(min(last-segment+1, 1<<20))
}

// recoverState applies the newest readable state; it is nil if there is none.
func (q *Queue) recoverState(states []head) (state *persistence.Delta, at head, unreadable int, err error) {
	for i, h := range slices.Backward(states) {
		b, err := q.decode(h.key)
		if isUnreadable(err) {
			q.o.Logger.Error("a state entry is unreadable", "queue", q.o.Name, "lsn", h.LSN, "error", err)
			q.disk.garbage = append(q.disk.garbage, h.entry)
			q.quarantine(h.entry)
			unreadable++
			continue
		} else if err != nil {
			return nil, head{}, 0, err
		}
		q.books.replay(b.Delta)
		for _, s := range states[:i+1] {
			q.disk.stateWritten(s.entry)
		}
		return b.Delta, h, unreadable, nil
	}
	return nil, head{}, unreadable, nil
}

// replay applies the deltas above an LSN. It returns how many could not be
// read.
func (q *Queue) replay(deltas []head, above uint64) (unreadable int, err error) {
	for _, h := range deltas {
		if h.Count == 0 {
			q.disk.garbage = append(q.disk.garbage, h.entry)
		}
		if h.LSN <= above {
			continue
		}
		b, err := q.decode(h.key)
		if isUnreadable(err) {
			q.quarantine(h.entry)
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

// recoverIndex indexes the batches and returns how many numbers were given out that
// the state does not know of. Without a state the floor lies below the first batch.
func (q *Queue) recoverIndex(f found, stateless bool) (unknown uint64) {
	if stateless && len(f.batches) > 0 && q.books.floor == 0 {
		first := slices.MinFunc(f.batches, func(a, b head) int { return cmp.Compare(a.First, b.First) })
		q.books.floor = first.First - 1
		q.books.done.RemoveTo(q.books.floor)
	}
	spans := make([]span, 0, len(f.batches))
	known := q.books.next
	for _, h := range f.batches {
		q.books.next = max(q.books.next, h.Last+1)
		if h.Last <= q.books.floor && q.books.retained(persistence.Range{First: h.First, Last: h.Last}) == 0 {
			q.disk.garbage = append(q.disk.garbage, h.entry)
			continue
		}
		until := uint64(0)
		if !stateless && h.First > q.books.expiring {
			until = never
		}
		spans = append(spans, span{
			first: h.First, last: h.Last, key: h.key, segment: h.segment,
			size: uint32(h.size), count: h.Count, live: h.Count, delta: h.delta, until: until,
		})
	}
	spans, q.disk.covered = layer(spans)
	q.index.replace(0, 0, spans...)
	return uint64(q.books.next - known)
}

// recovery is what recovery makes done. It is recorded in a delta of its own,
// beside the state, so that the loss of one of them does not matter.
type recovery struct {
	q     *Queue
	found persistence.Set
	lost  uint64 // messages
}

func (r *recovery) finish(run persistence.Range) uint64 {
	run = r.q.books.given(run)
	r.found.Add(run)
	return r.q.books.finish(run)
}

// skip leaves n numbers out; they count as done (S2.3).
func (r *recovery) skip(n types.Seq) {
	next := r.q.books.next
	r.q.books.next += n
	r.finish(persistence.Range{First: next, Last: next + n - 1})
}

// writeOff finds the numbers that were given out, are not done, and that no
// batch holds: those messages are lost, and are counted as quarantined. Without
// a state it is not known that they were not done.
func (r *recovery) writeOff(stateless bool) {
	b := &r.q.books
	var held persistence.Ranges
	for _, s := range r.q.index.spans {
		held.Add(s.run())
	}
	var gone []persistence.Range
	for _, gap := range held.Missing(persistence.Range{First: b.floor + 1, Last: b.next - 1}) {
		gone = slices.AppendSeq(gone, b.open(gap))
	}
	for _, run := range gone {
		r.lost += r.finish(run)
	}
	if !stateless {
		b.counters.Left[types.Quarantined] += r.lost
	}
	var kept persistence.Ranges
	for l := range b.dead.All() {
		kept = append(kept, held.Missing(l.Range)...)
	}
	for run := range b.kept.All() {
		kept = append(kept, held.Missing(run)...)
	}
	for _, run := range kept {
		r.lost += b.release(run)
	}
}

// fillHoles makes the numbers done that a rewritten batch speaks for and does
// not hold (S7.3). The state knows them, unless acknowledgements were lost: by
// damage, or in a power cut that the batch, written after them, survived.
func (r *recovery) fillHoles(damaged bool) {
	b := &r.q.books
	for _, s := range r.q.index.spans {
		if !s.sparse() || !damaged && b.pending(s.run())+b.retained(s.run()) <= uint64(s.count) {
			continue
		}
		records, err := r.q.load(s)
		if err != nil {
			continue // Read will find that, too
		}
		var held persistence.Ranges
		for _, rec := range records {
			held.Add(persistence.Range{First: rec.Seq, Last: rec.Seq})
		}
		for _, hole := range held.Missing(s.run()) {
			r.finish(hole)
			b.release(hole)
		}
	}
}

// begin writes what recovery found out, and the first state.
func (q *Queue) begin(ctx context.Context) error {
	if q.recorded.Count() > 0 {
		d := &persistence.Delta{Done: q.recorded}
		q.books.stamp(d)
		b := persistence.Batch{Kind: persistence.KindBatch, Delta: d}
		segment, _, err := q.append(&b)
		if err != nil {
			return err
		}
		q.disk.garbage = append(q.disk.garbage, entry{b.LSN, segment, true})
		q.recorded = persistence.Set{}
	}
	if err := q.writeState(false); err != nil {
		return err
	}
	q.lookAtOldest()
	return q.Sync(ctx)
}

func isUnreadable(err error) bool {
	return errors.Is(err, types.ErrCorrupt) || errors.Is(err, types.ErrNewerFormat)
}
