package journal

import (
	"slices"
	"sort"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// span is what memory knows of a batch: 64 bytes for hundreds of messages.
type span struct {
	first, last types.Seq // the run it speaks for
	key         uint64
	segment     uint64
	since       int64  // Unix ms: when its first message was accepted; 0: unknown
	size        uint32 // of the entry, in bytes
	count       uint32 // messages in it
	live        uint32 // of them not done
	delta       bool   // it also carries a delta
}

// liveBytes is the part of the entry that is still needed, nearly.
func (s span) liveBytes() uint64 {
	if s.count == 0 {
		return 0
	}
	return uint64(s.size) * uint64(s.live) / uint64(s.count)
}

func (s span) run() persistence.Range { return persistence.Range{First: s.first, Last: s.last} }

// index finds the batch that holds a number. Its spans are in order of their
// runs, which do not overlap.
type index struct {
	spans []span
	live  uint64 // sum of liveBytes
	dead  int    // spans without live messages
}

// search returns the position of the first span that ends at seq or later.
func (x *index) search(seq types.Seq) int {
	return sort.Search(len(x.spans), func(i int) bool { return x.spans[i].last >= seq })
}

// add adds a span behind all others.
func (x *index) add(s span) {
	x.spans = append(x.spans, s)
	x.count(s, +1)
}

func (x *index) count(s span, sign int) {
	if s.live == 0 {
		x.dead += sign
	} else if sign > 0 {
		x.live += s.liveBytes()
	} else {
		x.live -= s.liveBytes()
	}
}

// settle notes that the numbers of r, which were live, are done.
func (x *index) settle(r persistence.Range) {
	for i := x.search(r.First); i < len(x.spans) && x.spans[i].first <= r.Last; i++ {
		s := &x.spans[i]
		gone := min(r.Last, s.last) - max(r.First, s.first) + 1
		x.count(*s, -1)
		s.live -= uint32(min(uint64(gone), uint64(s.live)))
		x.count(*s, +1)
	}
}

// replace puts s in the place of the spans from i to j, j excluded.
func (x *index) replace(i, j int, s ...span) {
	for _, old := range x.spans[i:j] {
		x.count(old, -1)
	}
	for _, new := range s {
		x.count(new, +1)
	}
	x.spans = slices.Replace(x.spans, i, j, s...)
}

// oldest is when the oldest live message was accepted, nearly.
func (x *index) oldest() time.Time {
	for i := range x.spans {
		if s := &x.spans[i]; s.live > 0 {
			if s.since == 0 {
				break
			}
			return time.UnixMilli(s.since)
		}
	}
	return time.Time{}
}
