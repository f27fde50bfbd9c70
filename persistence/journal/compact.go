package journal

import (
	"context"
	"errors"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// manyEntries is how many entries may be written before a compaction is due
	// without waiting for its interval: memory holds a little for each.
	manyEntries = 4096
	// stepEntries is how many entries one call of Compact reads, and how many it
	// forgets, at most: so that it does not take long.
	stepEntries = 1024
)

// Compact implements persistence.Compacter. The calls of it make up passes from
// the oldest batch to the newest: see pass. More is false at the end of one.
func (q *Queue) Compact(ctx context.Context, maxBytes int64) (persistence.Compaction, error) {
	var c persistence.Compaction
	if err := q.failed(); err != nil {
		return c, err
	}
	if !q.pass.active {
		q.pass = q.plan()
	}
	for entries := 0; q.pass.active && c.Rewritten < maxBytes && entries < stepEntries; {
		i, j := q.pass.next(&q.index, stepEntries)
		if i == j {
			q.pass.active = false
			break
		}
		entries += j - i
		if err := q.roomFor(i, j); errors.Is(err, types.ErrDiskFull) {
			q.pass.active = false // what is needed for acknowledgements is not spent on this
			break
		} else if err != nil {
			return c, err
		}
		n, err := q.rewrite(ctx, i, j)
		if err != nil {
			return c, err
		}
		c.Rewritten += n
	}
	// Nothing is removed on account of an entry that is not synced (S7.2).
	if err := q.Sync(ctx); err != nil {
		return c, err
	}
	more, err := q.forget()
	if err != nil {
		return c, err
	}
	c.More = more || q.pass.active
	c.Reclaimed, err = q.drop()
	return c, err
}

// roomFor says whether there is room for the live messages of these spans.
func (q *Queue) roomFor(i, j int) error {
	size := persistence.HeaderSize
	for k := range q.index.spans[i:j] {
		size += int(q.index.spans[i+k].liveBytes())
	}
	return q.reserve("compact", size)
}

// rewrite puts the live messages of the spans from i to j, j excluded, into one
// new entry that speaks for the whole run, and returns its size. If one of them
// cannot be read that is all that is dealt with.
func (q *Queue) rewrite(ctx context.Context, i, j int) (int64, error) {
	old := q.index.spans[i:j]
	b := persistence.Batch{Kind: persistence.KindBatch, Rewritten: true, First: old[0].first, Last: old[len(old)-1].last}
	for k := range old {
		if old[k].live == 0 {
			continue
		}
		records, err := q.load(old[k])
		if isUnreadable(err) {
			return 0, q.giveUp(ctx, i+k, err)
		} else if err != nil {
			return 0, q.wrap("compact", err)
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
			return 0, err
		}
		replacement = []span{{
			first: b.First, last: b.Last, key: b.LSN, segment: segment, size: uint32(size),
			count: uint32(len(b.Records)), since: b.Records[0].Enqueued.UnixMilli(),
		}}
		replacement[0].look(&q.books)
	}
	q.pass.after = b.Last
	q.mu.Lock()
	q.disk.covered = append(q.disk.covered, old...)
	q.index.replace(i, j, replacement...)
	q.mu.Unlock()
	return int64(size), q.follow(segment)
}

// forget takes entries out of the memory of the medium: batches without live
// messages and what else nobody needs. It says whether there are more of them.
func (q *Queue) forget() (more bool, err error) {
	q.mu.Lock()
	q.disk.added = 0
	if q.index.empty > 0 {
		q.disk.garbage = q.index.bury(q.disk.garbage)
	}
	q.mu.Unlock()
	var keys []uint64
	take := func(e entry) bool {
		if !q.disk.forgettable(e) {
			return false
		}
		if len(keys) == stepEntries {
			more = true
			return false
		}
		keys = append(keys, e.key)
		return true
	}
	q.disk.garbage = remove(q.disk.garbage, take)
	q.disk.covered = remove(q.disk.covered, func(s span) bool { return take(s.entry()) })
	if len(keys) == 0 {
		return false, nil
	}
	if err := q.medium.Forget(keys); err != nil {
		return false, q.fail("compact", err)
	}
	return more, nil
}

// drop removes the segments that hold nothing that is needed.
func (q *Queue) drop() (int64, error) {
	low := q.disk.needed()
	for i := range q.index.spans {
		low = min(low, q.index.spans[i].segment)
	}
	for _, e := range q.disk.garbage {
		low = min(low, e.segment)
	}
	for _, s := range q.disk.covered {
		low = min(low, s.segment)
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

// remove takes those out of list that take says yes to, and gives back memory
// that the list does not need any more.
func remove[T any](list []T, take func(T) bool) []T {
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
