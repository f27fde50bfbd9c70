package journal

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// rollUpTo is the size that small neighbouring batches are rolled up to, in
	// bytes.
	rollUpTo = 512 << 10
	// small batches are rolled up; larger ones are not worth it.
	small = 64 << 10
	// manyEntries is how many entries may be written before a compaction is due
	// without waiting for its interval: memory holds a little for each.
	manyEntries = 4096
	// liveShare is the part of the log that is to be live, at least; below it
	// the survivors of the oldest segments are moved behind the others.
	liveShare = 0.85
	// segmentBytes is the size of a full segment.
	segmentBytes = 8 << 20
)

// Compact implements persistence.Compacter.
func (q *Queue) Compact(ctx context.Context, maxBytes int64) (persistence.Compaction, error) {
	var c persistence.Compaction
	if q.failed != nil {
		return c, q.failed
	}
	more := false
	for c.Rewritten < maxBytes {
		i, j := q.index.smallRun()
		if i == j {
			i, j = q.stuckRun()
		}
		if i == j {
			break
		}
		n, err := q.rewrite(ctx, i, j)
		if err != nil {
			return c, err
		}
		c.Rewritten += n
		more = c.Rewritten >= maxBytes
	}
	c.More = more
	// Nothing is removed on account of an entry that is not synced (S7.2).
	if err := q.Sync(ctx); err != nil {
		q.failed = err
		return c, err
	}
	if err := q.forget(); err != nil {
		return c, err
	}
	var err error
	c.Reclaimed, err = q.drop()
	return c, err
}

// smallRun finds neighbouring batches that are worth rolling up into one.
func (x *index) smallRun() (i, j int) {
	const worth = 64 // so many batches, or half of a full one
	from, bytes, live := 0, uint64(0), 0
	for k := range x.spans {
		s := &x.spans[k]
		size := s.liveBytes()
		if size > small || bytes+size > rollUpTo {
			if live >= worth || live > 7 && bytes >= rollUpTo/2 {
				return from, k
			}
			from, bytes, live = k, 0, 0
			if size > small {
				from = k + 1
				continue
			}
		}
		bytes += size
		if s.live > 0 {
			live++
		}
	}
	if live >= worth {
		return from, len(x.spans)
	}
	return 0, 0
}

// stuckRun finds batches that keep the oldest segment, when too little of the
// log is live. What lies in the segment that is being written, or in one that a
// state keeps, would not give anything back.
func (q *Queue) stuckRun() (i, j int) {
	if float64(q.disk.total()) <= float64(q.index.live)/liveShare+2*segmentBytes {
		return 0, 0
	}
	oldest, limit := uint64(math.MaxUint64), q.disk.needed()
	for k := range q.index.spans {
		if s := &q.index.spans[k]; s.live > 0 && s.segment < limit {
			oldest = min(oldest, s.segment)
		}
	}
	bytes := uint64(0)
	for k := range q.index.spans {
		s := &q.index.spans[k]
		stuck := s.live > 0 && s.segment == oldest
		if !stuck && j == 0 {
			continue
		}
		if !stuck || bytes+s.liveBytes() > rollUpTo && bytes > 0 {
			break
		}
		if j == 0 {
			i = k
		}
		j = k + 1
		bytes += s.liveBytes()
	}
	return i, j
}

// rewrite puts the live messages of the spans from i to j, j excluded, into one
// new entry that speaks for the whole run, and returns its size.
func (q *Queue) rewrite(ctx context.Context, i, j int) (int64, error) {
	old := q.index.spans[i:j]
	b := persistence.Batch{Kind: persistence.KindBatch, Rewritten: true, First: old[0].first, Last: old[len(old)-1].last}
	for k := range old {
		if old[k].live == 0 {
			continue
		}
		records, err := q.load(old[k])
		if errors.Is(err, types.ErrCorrupt) || errors.Is(err, types.ErrNewerFormat) {
			// Its messages are gone; the rest is for the next call.
			return 0, q.quarantine(ctx, old[k], err)
		} else if err != nil {
			return 0, q.fail("compact", err)
		}
		for _, r := range records {
			if r.Seq > q.books.floor && !q.books.done.Contains(r.Seq) {
				b.Records = append(b.Records, r)
			}
		}
	}
	var replacement []span
	size := 0
	if len(b.Records) > 0 {
		segment, n, err := q.append(&b)
		if err != nil {
			return 0, err
		}
		size = n
		replacement = []span{{
			first: b.First, last: b.Last, key: b.LSN, segment: segment, size: uint32(n),
			count: uint32(len(b.Records)), live: uint32(len(b.Records)), since: b.Records[0].Enqueued.UnixMilli(),
		}}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range old {
		q.disk.garbage = append(q.disk.garbage, entry{s.key, s.segment})
	}
	q.index.replace(i, j, replacement...)
	return int64(size), nil
}

// forget takes entries out of the memory of the medium: batches without live
// messages and what else nobody needs, once the states include their deltas.
func (q *Queue) forget() error {
	q.mu.Lock()
	spans := slices.DeleteFunc(q.index.spans, func(s span) bool {
		if s.live == 0 {
			q.disk.garbage = append(q.disk.garbage, entry{s.key, s.segment})
		}
		return s.live == 0
	})
	q.index.spans, q.index.dead, q.disk.added = spans, 0, 0
	included := q.disk.included()
	var keys []uint64
	q.disk.garbage = slices.DeleteFunc(q.disk.garbage, func(g entry) bool {
		if g.key <= included {
			keys = append(keys, g.key)
		}
		return g.key <= included
	})
	q.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	if err := q.medium.Forget(keys); err != nil {
		return q.fail("compact", err)
	}
	return nil
}

// drop removes the segments that hold nothing that is needed.
func (q *Queue) drop() (int64, error) {
	low := q.disk.needed()
	for i := range q.index.spans {
		low = min(low, q.index.spans[i].segment)
	}
	if len(q.disk.segments) == 0 || q.disk.segments[0].ID >= low {
		return 0, nil
	}
	n, err := q.medium.Drop(low)
	if err != nil {
		return n, q.fail("compact", err)
	}
	q.mu.Lock()
	q.disk.dropped(low)
	q.mu.Unlock()
	return n, nil
}
