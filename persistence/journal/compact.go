package journal

import (
	"context"
	"math"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// manyEntries is how many entries may be written before a compaction is due
	// without waiting for its interval: memory holds a little for each.
	manyEntries = 4096
	// stepEntries is how many entries one call of Compact reads, and how many it
	// forgets, and stepSegments how many segments it drops, at most: so that it does
	// not take long. A medium may have to wait for the disk between two segments.
	stepEntries  = 512
	stepSegments = 1
)

// Compact implements persistence.Compacter. The calls of it make up passes from
// the oldest batch to the newest: see pass. More is false at the end of one.
//
// A call removes what the call before it has chosen, once all is synced that was
// written by then (S7.2), and writes again what the next call can choose because of
// it. If the owner syncs between two calls, none of them waits for the disk.
func (q *Queue) Compact(ctx context.Context, maxBytes int64) (persistence.Compaction, error) {
	var c persistence.Compaction
	if err := q.failed(); err != nil {
		return c, err
	}
	if p, ok := q.medium.(Prober); ok { // nobody else may look for long
		if err := p.There(); err != nil {
			return c, q.fail("compact", err)
		}
	}
	more, err := q.remove(ctx, &c)
	if err != nil {
		return c, err
	}
	if !q.pass.active && !q.pass.closing {
		q.pass = q.plan()
		q.rolled = max(q.rolled, q.pass.last)
		if q.pass.renew {
			if err := q.renewStates(); err != nil {
				return c, err
			}
		}
	}
	if q.pass.active && !q.newest.active && q.manyNew() {
		q.newest = q.newPass(q.rolled)
		q.rolled = q.newest.last
	}
	p := &q.pass
	if q.newest.active && (!q.pass.active || !q.turned) {
		p = &q.newest
	}
	q.turned = !q.turned
	if p.active && c.Reclaimed == 0 {
		if err := q.rewriteSome(ctx, p, maxBytes, &c); err != nil {
			return c, err
		}
	}
	closed := q.pass.closing // by an earlier call, so that what it chose is removed by now
	if !q.pass.active && !closed {
		if err := q.endPass(); err != nil {
			return c, err
		}
	}
	rest := q.leaving.many // what is chosen now was there when the pass closed
	q.choose()
	q.pass.closing = !q.pass.active && q.leaving.chosen && (!closed || q.leaving.many || rest || more)
	c.More = q.pass.active || q.pass.closing
	if !c.More {
		if c.More, err = q.verify(ctx, maxBytes); err != nil {
			return c, err
		}
		q.pass.closing = c.More // the pass goes on
		q.verification.due = c.More
	}
	q.mu.Lock()
	q.books.reclaimed += uint64(max(c.Reclaimed, 0))
	if !c.More {
		q.books.compacted = unixMilli(q.o.Now())
	}
	q.mu.Unlock()
	return c, nil
}

// rewriteSome rewrites groups of batches of a pass until it has read or written
// enough, or the pass is over.
func (q *Queue) rewriteSome(ctx context.Context, p *pass, maxBytes int64, c *persistence.Compaction) error {
	for read, entries := uint64(0), 0; c.Rewritten < maxBytes && int64(read) < 2*maxBytes && entries < stepEntries; {
		i, j := p.next(&q.index, stepEntries)
		if i == j {
			p.active = false
			return nil
		}
		entries += j - i
		for k := range q.index.spans[i:j] {
			read += q.index.spans[i+k].toRead()
		}
		if !q.mayRewrite(p, i, j) {
			p.active = false // what is needed for acknowledgements is not spent on this
			return nil
		}
		n, last, err := q.rewrite(ctx, i, j)
		if err != nil {
			return err
		}
		c.Rewritten += n
		p.after = max(p.after, last)
	}
	return nil
}

// endPass writes a state behind what was rewritten, if that was much: damage in
// front of the newest state raises fewer doubts.
func (q *Queue) endPass() error {
	if q.disk.rewritten < uint64(q.o.SegmentSize) {
		return nil
	}
	return q.writeState(false)
}

// mayRewrite says whether a pass has room for the live messages of these spans: the
// reserve is for one that was planned for a full disk.
func (q *Queue) mayRewrite(p *pass, i, j int) bool {
	r, ok := q.medium.(Reserver)
	if !ok {
		return true
	}
	size := int64(persistence.HeaderSize)
	for k := range q.index.spans[i:j] {
		size += int64(q.index.spans[i+k].liveBytes())
	}
	if p.scarce {
		p.spare -= size
		return p.spare >= 0
	}
	return r.Spare(int(size)) == math.MaxInt64
}

// rewrite puts the live messages of the spans from i to j, j excluded, into one
// new entry that speaks for the whole run, and returns its size and the last number.
// If one of them cannot be read that is all that is dealt with, and there is none.
func (q *Queue) rewrite(ctx context.Context, i, j int) (int64, types.Seq, error) {
	old := q.index.spans[i:j]
	b := persistence.Batch{Kind: persistence.KindBatch, Rewritten: true, First: old[0].first, Last: old[len(old)-1].last}
	for k := range old {
		if old[k].live == 0 {
			continue
		}
		records, err := q.load(old[k])
		if isUnreadable(err) {
			return 0, 0, q.giveUp(ctx, i+k, err)
		} else if err != nil {
			return 0, 0, q.wrap("compact", err)
		}
		for _, r := range records {
			if q.books.needs(r.Seq) {
				b.Records = append(b.Records, r)
			}
		}
	}
	var replacement []span
	size, segment := 0, q.disk.newest.segment
	if len(b.Records) > 0 {
		var err error
		if segment, size, err = q.append(&b); err != nil {
			return 0, 0, err
		}
		replacement = []span{{
			first: b.First, last: b.Last, key: b.LSN, segment: segment, size: uint32(size),
			count: uint32(len(b.Records)),
		}}
		replacement[0].born, replacement[0].until = q.extent(b.Records, false, q.o.Now())
		replacement[0].look(&q.books)
	}
	q.mu.Lock()
	q.disk.covered = append(q.disk.covered, old...)
	q.index.replace(i, j, replacement...)
	q.mu.Unlock()
	return int64(size), b.Last, q.follow(segment)
}

// leaving is what Compact is going to remove: nobody needs it once all entries up
// to an LSN are on stable storage.
type leaving struct {
	chosen bool
	lsn    uint64
	keys   []uint64
	from   uint64 // the lowest segment with one of them
	needed uint64 // what needed said then
	many   bool   // there are more of them than one call may remove
}

// choose notes what can be removed: batches without live messages and what else
// nobody needs.
func (q *Queue) choose() {
	l := leaving{lsn: q.lsn, keys: q.leaving.keys[:0], from: math.MaxUint64, needed: q.disk.needed()}
	q.mu.Lock()
	q.disk.added = 0
	if q.index.empty > 0 {
		q.disk.garbage = q.index.bury(q.disk.garbage)
	}
	q.mu.Unlock()
	take := func(e entry) bool {
		if !q.disk.forgettable(e) {
			return false
		}
		if len(l.keys) == stepEntries {
			l.many = true
			return false
		}
		l.keys = append(l.keys, e.key)
		l.from = min(l.from, e.segment)
		return true
	}
	q.disk.garbage = without(q.disk.garbage, take)
	q.disk.covered = without(q.disk.covered, func(s span) bool { return take(s.entry()) })
	if len(l.keys) == 0 {
		l.keys = nil // memory that is not needed any more
	}
	q.leaving = l
	q.leaving.chosen = len(l.keys) > 0 || len(q.droppable(l.needed)) > 0
}

// remove removes what was chosen, and the segments that hold nothing that is needed
// any more, as many as one call may. It says whether there are more of those.
func (q *Queue) remove(ctx context.Context, c *persistence.Compaction) (more bool, err error) {
	l := &q.leaving
	if !l.chosen {
		return false, nil
	}
	if q.synced.Load() < l.lsn {
		if err := q.Sync(ctx); err != nil {
			return false, err
		}
	}
	l.chosen = false
	if len(l.keys) > 0 {
		if err := q.medium.Forget(l.keys); err != nil {
			return false, q.fail("compact", err)
		}
		l.keys, l.from = l.keys[:0], math.MaxUint64
	}
	list := q.droppable(l.needed)
	if len(list) == 0 {
		return false, nil
	}
	n := min(len(list), stepSegments)
	below := list[n-1].ID + 1
	if c.Reclaimed, err = q.medium.Drop(below); err != nil {
		return false, q.fail("compact", err)
	}
	q.mu.Lock()
	q.disk.dropped(below)
	q.mu.Unlock()
	return len(list) > n, nil
}

// droppable lists the segments below needed that hold nothing that somebody needs.
func (q *Queue) droppable(needed uint64) []Segment {
	low := min(needed, q.leaving.from)
	for i := range q.index.spans {
		low = min(low, q.index.spans[i].segment)
	}
	for _, e := range q.disk.garbage {
		low = min(low, e.segment)
	}
	for _, s := range q.disk.covered {
		low = min(low, s.segment)
	}
	n := 0
	for n < len(q.disk.segments) && q.disk.segments[n].ID < low {
		n++
	}
	return q.disk.segments[:n]
}

// without takes those out of list that take says yes to, and gives back memory
// that the list does not need any more.
func without[T any](list []T, take func(T) bool) []T {
	kept := list[:0]
	for _, v := range list {
		if !take(v) {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}
