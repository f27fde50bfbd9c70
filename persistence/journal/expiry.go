package journal

import (
	"context"
	"math"
	"sort"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// never is later than the age clock comes to show.
const never = math.MaxUint64

// Expired implements persistence.Expirer. Which batches have something that has
// expired is known from memory, but for those that were stored before the queue was
// opened: those are read once, one at a time, unless it is known that they have
// nothing that can expire.
func (q *Queue) Expired(ctx context.Context, after types.Seq, maxAge time.Duration) (persistence.Expired, error) {
	var x persistence.Expired
	now := q.o.Now()
	age := q.age.shows(now)
	next := uint64(never)
	read, young := false, false // young: what follows is not older than maxAge, nearly always
	for i := q.index.search(max(after, q.books.floor) + 1); i < len(q.index.spans); {
		s := &q.index.spans[i]
		if s.pending() == 0 {
			i++
			continue
		}
		known := s.until != 0 && (maxAge == 0 || s.born != 0 || young)
		if due := s.due(maxAge); known && due > age {
			next = min(next, due)
			young = young || s.born != 0
			i++
			continue
		}
		if read {
			x.More = true
			break
		}
		read = true
		_, cached := q.cache.get(s.key)
		x.Loaded = !cached
		records, err := q.cached(s)
		if isUnreadable(err) {
			if err := q.giveUp(ctx, i, err); err != nil {
				return x, err
			}
			continue // with what lies there now
		} else if err != nil {
			return x, q.wrap("read", err)
		}
		q.measure(s, records)
		for k := range records {
			r := &records[k]
			if r.Seq > after && q.pending(r.Seq) && q.expiry(r, now, maxAge) <= age {
				x.Numbers.Add(persistence.Range{First: r.Seq, Last: r.Seq})
			}
		}
		if due := s.due(maxAge); due > age {
			next = min(next, due)
		}
		x.Through = s.last
		i++
	}
	if next != never {
		x.Next = q.age.time(next, now)
	}
	return x, nil
}

// due is when, on the age clock, the first message of s may expire.
func (s *span) due(maxAge time.Duration) uint64 {
	if maxAge > 0 && s.born != 0 {
		return min(s.until, s.born+uint64(maxAge/time.Millisecond))
	}
	return s.until
}

// expiry is when, on the age clock, a message expires.
func (q *Queue) expiry(r *persistence.Record, now time.Time, maxAge time.Duration) uint64 {
	most := r.Message.Expiry
	if maxAge > 0 && (most <= 0 || maxAge < most) {
		most = maxAge
	}
	if most <= 0 {
		return never
	}
	return q.age.born(r, now) + uint64((most+time.Millisecond-1)/time.Millisecond)
}

// pending says whether a message is, and not abandoned.
func (q *Queue) pending(seq types.Seq) bool {
	if seq <= q.books.floor || q.books.done.Contains(seq) {
		return false
	}
	_, abandoned := q.books.whyAbandoned(seq)
	return !abandoned
}

// extent is when, on the age clock, the first of the records was accepted, and when
// the first of them expires of its own; unless they are fresh, of those that are
// pending. It notes which have an expiry.
func (q *Queue) extent(records []persistence.Record, fresh bool, now time.Time) (born, until uint64) {
	born, until = never, never
	for i := range records {
		r := &records[i]
		if !fresh && !q.pending(r.Seq) {
			continue
		}
		born = min(born, q.age.born(r, now))
		if r.Message.Expiry > 0 {
			until = min(until, q.expiry(r, now, 0))
			q.books.expiring = max(q.books.expiring, r.Seq)
		}
	}
	if born == never {
		born = 0
	}
	return born, until
}

// measure notes when the first message of s was accepted and expires.
func (q *Queue) measure(s *span, records []persistence.Record) {
	born, until := q.extent(records, false, q.o.Now())
	q.mu.Lock()
	s.born, s.until = born, until
	q.mu.Unlock()
}

// lookAtFront notes anew when the oldest message was accepted, if that can be had
// without reading: those before it may have left. mu is held.
func (q *Queue) lookAtFront(now time.Time) {
	s := q.index.front(q.books.floor)
	if s == nil {
		return
	}
	records, ok := q.cache.get(s.key)
	if !ok {
		return
	}
	for run := range q.books.open(s.run()) {
		i := sort.Search(len(records), func(k int) bool { return records[k].Seq >= run.First })
		if i < len(records) {
			s.born = q.age.born(&records[i], now)
		}
		return
	}
}
