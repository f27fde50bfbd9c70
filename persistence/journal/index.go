package journal

import (
	"cmp"
	"iter"
	"slices"
	"sort"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// span is what memory knows of a batch: some 80 bytes for up to thousands of
// messages.
type span struct {
	first, last types.Seq // the run it speaks for
	key         uint64
	segment     uint64
	born        uint64 // on the age clock: none of its pending messages is older; 0: unknown
	until       uint64 // on the age clock: none of them expires sooner of its own; 0: unknown
	size        uint32 // of the entry, in bytes
	count       uint32 // messages in it
	live        uint32 // of them needed: pending, or dead letters, or kept
	dead        uint32 // of the live ones: dead letters
	kept        uint32 // of the live ones: sent, and kept
	delta       bool   // it also carries a delta
}

// pending is how many messages of the batch are.
func (s span) pending() uint32 { return s.live - s.dead - s.kept }

// share is the part of the entry, in bytes, that so many messages take, nearly.
func (s span) share(messages uint32) uint64 {
	if s.count == 0 {
		return 0
	}
	return uint64(s.size) * uint64(messages) / uint64(s.count)
}

// liveBytes is the part of the entry that is still needed, nearly.
func (s span) liveBytes() uint64 { return s.share(s.live) }

// toRead is how much is read to write s again, in bytes.
func (s span) toRead() uint64 {
	if s.live == 0 {
		return 0
	}
	return uint64(s.size)
}

// look counts what b needs of the messages of s.
func (s *span) look(b *books) {
	left := uint64(s.count)
	take := func(n uint64) uint32 {
		n = min(n, left)
		left -= n
		return uint32(n)
	}
	s.live = take(b.pending(s.run()))
	s.dead = take(b.dead.Within(s.run()))
	s.kept = take(b.kept.Within(s.run()))
	s.live += s.dead + s.kept
}

func (s span) run() persistence.Range { return persistence.Range{First: s.first, Last: s.last} }

// sparse says that the batch speaks for numbers that it has no message for.
func (s span) sparse() bool { return s.run().Count() > uint64(s.count) }

func (s span) entry() entry { return entry{s.key, s.segment, s.delta} }

// index finds the batch that holds a number. Its spans are in order of their
// runs, which do not overlap.
type index struct {
	spans   []span
	live    uint64 // sum of liveBytes
	pending uint64 // likewise of what is pending
	kept    uint64 // likewise of what was sent and is kept
	empty   int    // spans without live messages
}

// search returns the position of the first span that ends at seq or later.
func (x *index) search(seq types.Seq) int {
	return sort.Search(len(x.spans), func(i int) bool { return x.spans[i].last >= seq })
}

// add adds a span behind all others.
func (x *index) add(s span) {
	x.spans = append(x.spans, s)
	x.account(s, +1)
}

func (x *index) account(s span, sign int) {
	if s.live == 0 {
		x.empty += sign
	} else {
		x.live += uint64(sign) * s.liveBytes()
		x.pending += uint64(sign) * s.share(s.pending())
		x.kept += uint64(sign) * s.share(s.kept)
	}
}

// settle counts anew what is live in the spans that hold numbers of these runs,
// which rise.
func (x *index) settle(runs iter.Seq[persistence.Range], b *books) {
	next := 0
	for r := range runs {
		i := max(next, x.search(r.First))
		for ; i < len(x.spans) && x.spans[i].first <= r.Last; i++ {
			s := &x.spans[i]
			x.account(*s, -1)
			s.look(b)
			x.account(*s, +1)
		}
		next = i
	}
}

// replace puts others in the place of the spans from i to j, j excluded.
func (x *index) replace(i, j int, others ...span) {
	for _, old := range x.spans[i:j] {
		x.account(old, -1)
	}
	for _, s := range others {
		x.account(s, +1)
	}
	x.spans = slices.Replace(x.spans, i, j, others...)
	if n := len(x.spans); cap(x.spans) > 4096 && cap(x.spans) > 4*n { // memory that there was a time for
		x.spans = append(make([]span, 0, 2*n), x.spans...)
	}
}

// bury takes the spans without live messages out of the index and appends their
// entries to garbage.
func (x *index) bury(garbage []entry) []entry {
	x.spans = slices.DeleteFunc(x.spans, func(s span) bool {
		if s.live == 0 {
			garbage = append(garbage, s.entry())
		}
		return s.live == 0
	})
	x.empty = 0
	return garbage
}

// oldest is when the oldest pending message was accepted, on the age clock, nearly;
// 0 if that is not known, or there is none.
func (x *index) oldest(floor types.Seq) uint64 {
	if s := x.front(floor); s != nil {
		return s.born
	}
	return 0
}

// front is the first span with pending messages, nil if there is none.
func (x *index) front(floor types.Seq) *span {
	for i := x.search(floor + 1); i < len(x.spans); i++ {
		if s := &x.spans[i]; s.pending() > 0 {
			return s
		}
	}
	return nil
}

// layer sorts out batches that speak for the same numbers: of these the newest
// counts. It returns them in order of their runs, and those that are covered.
//
// Runs either include each other or have nothing in common, the including one
// being newer. Should damage have made it otherwise the newest is believed. The
// memory of spans is used for what is returned.
func layer(spans []span) (top, covered []span) {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last), cmp.Compare(b.key, a.key))
	})
	top = spans[:0]
	for _, s := range spans {
		for n := len(top); n > 0 && top[n-1].last >= s.first && top[n-1].key < s.key; n = len(top) {
			covered = append(covered, top[n-1])
			top = top[:n-1]
		}
		if n := len(top); n > 0 && top[n-1].last >= s.first {
			covered = append(covered, s)
		} else {
			top = append(top, s)
		}
	}
	return top, covered
}
