package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Read implements persistence.Queue.
func (q *Queue) Read(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	after = max(after, q.books.floor)
	bytes, n := int64(0), 0
	for i := q.index.search(after + 1); i < len(q.index.spans); i++ {
		s := q.index.spans[i]
		if s.live == 0 {
			continue
		}
		records, err := q.load(s)
		if errors.Is(err, types.ErrCorrupt) || errors.Is(err, types.ErrNewerFormat) {
			if err := q.quarantine(ctx, s, err); err != nil {
				return buf, err
			}
			continue
		} else if err != nil {
			return buf, q.wrap("read", err)
		}
		from := sort.Search(len(records), func(k int) bool { return records[k].Seq > after })
		for _, r := range records[from:] {
			if q.books.done.Contains(r.Seq) {
				continue
			}
			size := int64(r.Message.Size())
			if n > 0 && (limit.Records > 0 && n >= limit.Records || limit.Bytes > 0 && bytes+size > limit.Bytes) {
				return buf, nil
			}
			_, r.Abandoned = q.books.searchAbandoned(r.Seq)
			r.Released = q.books.released.Contains(r.Seq)
			buf = append(buf, r)
			bytes += size
			n++
		}
	}
	return buf, nil
}

// load returns the records of a batch.
func (q *Queue) load(s span) ([]persistence.Record, error) {
	if records, ok := q.cache.get(s.key); ok {
		return records, nil
	}
	b, err := q.decode(s.key)
	if err != nil {
		return nil, err
	}
	if b.First != s.first || b.Last != s.last {
		return nil, fmt.Errorf("%w: batch %d holds numbers %d to %d instead of %d to %d", types.ErrCorrupt, s.key, b.First, b.Last, s.first, s.last)
	}
	q.cache.put(s.key, b.Records, int(s.size))
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

// quarantine gives up the messages of a batch that cannot be read. Its bytes
// stay where they are.
func (q *Queue) quarantine(ctx context.Context, s span, why error) error {
	lost := q.books.open(s.run())
	q.o.Logger.Error("messages are unreadable and were set aside", "queue", q.o.Name,
		"first", s.first, "last", s.last, "count", lost.Count(), "error", why)
	done := make([]persistence.Done, len(lost))
	for i, r := range lost {
		done[i] = persistence.Done{Range: r, Reason: types.Quarantined}
	}
	_, err := q.Write(ctx, persistence.Commit{Done: done})
	return err
}

// Marks implements persistence.Queue.
func (q *Queue) Marks(prefix string) iter.Seq2[string, []byte] { return q.books.eachMark(prefix) }
