package journal

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// mostAtOnce is for how many records Read makes room at once.
const mostAtOnce = 1024

// Read implements persistence.Queue.
func (q *Queue) Read(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	return q.read(ctx, buf, after, limit, pending)
}

// ReadDead implements persistence.DeadReader.
func (q *Queue) ReadDead(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	return q.read(ctx, buf, after, limit, dead)
}

// ReadSent implements persistence.SentReader.
func (q *Queue) ReadSent(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	return q.read(ctx, buf, after, limit, kept)
}

// which says which messages are meant.
type which int

const (
	pending which = iota
	dead          // letters
	kept          // they were sent
)

// of is how many messages of a batch these are.
func (w which) of(s *span) uint32 {
	switch w {
	case dead:
		return s.dead
	case kept:
		return s.kept
	}
	return s.pending()
}

// has says whether b counts q, which a batch holds, among these, and of dead letters
// why they are.
func (w which) has(b *books, q types.Seq) (cause string, has bool) {
	switch w {
	case dead:
		return b.dead.Why(q)
	case kept:
		return "", b.kept.Contains(q)
	}
	return "", !b.done.Contains(q)
}

// read reads those that are meant.
func (q *Queue) read(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit, meant which) ([]persistence.Record, error) {
	if meant == pending {
		after = max(after, q.books.floor)
	}
	if there := int(q.books.next - 1 - after); limit.Records > 0 && there > 0 {
		buf = slices.Grow(buf, min(limit.Records, there, mostAtOnce))
	}
	bytes, n, now := int64(0), 0, q.o.Now()
	for i := q.index.search(after + 1); i < len(q.index.spans); {
		s := &q.index.spans[i]
		if meant.of(s) == 0 {
			i++
			continue
		}
		records, err := q.cached(s)
		if isUnreadable(err) {
			if err := q.giveUp(ctx, i, err); err != nil {
				return buf, err
			}
			if meant == pending {
				after = max(after, q.books.floor) // it may have risen
			}
			continue // with what lies there now
		} else if err != nil {
			return buf, q.wrap("read", err)
		}
		from := sort.Search(len(records), func(k int) bool { return records[k].Seq > after })
		for _, r := range records[from:] {
			cause, has := meant.has(&q.books, r.Seq)
			if !has {
				continue
			}
			size := int64(r.Message.Size())
			if n > 0 && (limit.Records > 0 && n >= limit.Records || limit.Bytes > 0 && bytes+size > limit.Bytes) {
				return buf, nil
			}
			q.complete(&r, cause, now)
			buf = append(buf, r)
			bytes += size
			n++
		}
		i++
	}
	if meant == pending {
		q.cache.caughtUp()
	}
	return buf, nil
}

// complete fills in what the batch of r does not know.
func (q *Queue) complete(r *persistence.Record, cause string, now time.Time) {
	r.Cause = cause
	r.Why, r.Abandoned = q.books.whyAbandoned(r.Seq)
	r.Released = q.books.released.Contains(r.Seq)
	r.Since = q.age.time(q.age.born(r, now), now)
}

// cached returns the records of a batch, from the cache if it has them.
func (q *Queue) cached(s *span) ([]persistence.Record, error) {
	if records, ok := q.cache.get(s.key); ok {
		return records, nil
	}
	records, err := q.load(*s)
	if err != nil {
		return nil, err
	}
	q.cache.put(s.key, records, int(s.size))
	if s.born == 0 || s.until == 0 {
		q.measure(s, records)
	}
	return records, nil
}

// load reads the records of a batch.
func (q *Queue) load(s span) ([]persistence.Record, error) {
	b, err := q.decode(s.key)
	if err != nil {
		return nil, err
	}
	if b.First != s.first || b.Last != s.last || len(b.Records) != int(s.count) {
		return nil, fmt.Errorf("%w: batch %d holds numbers %d to %d instead of %d to %d", types.ErrCorrupt, s.key, b.First, b.Last, s.first, s.last)
	}
	return b.Records, nil
}

// decode reads an entry and checks that it is the one that was asked for.
func (q *Queue) decode(key uint64) (*persistence.Batch, error) {
	value, err := q.medium.Load(key)
	if err != nil {
		return nil, err
	}
	b, err := persistence.Decode(value)
	if err != nil {
		return nil, err
	}
	if b.LSN != key || b.Store != q.books.store {
		return nil, fmt.Errorf("%w: entry %d is number %d of another place", types.ErrCorrupt, key, b.LSN)
	}
	return b, nil
}

// lookAtOldest reads the batch of the oldest message, which is the one that is
// wanted next, so that State can tell its age.
func (q *Queue) lookAtOldest() {
	for i := range q.index.spans {
		if s := &q.index.spans[i]; s.pending() > 0 {
			_, _ = q.cached(s) // Read will say what is wrong with it
			return
		}
	}
}

// Marks implements persistence.Queue.
func (q *Queue) Marks(prefix string) iter.Seq2[string, []byte] { return q.books.eachMark(prefix) }
