package journal

import (
	"math"

	"github.com/mqttdb/mqttdb/types"
)

const (
	// liveShare is the part of the log that is to be live, at least; below it
	// the survivors of the oldest segments are moved behind the others (S7.3).
	liveShare = 0.9
	// segmentBytes is the size of a full segment where nothing else is said.
	segmentBytes = 8 << 20
	// manySmall is how many small batches are worth rolling up in any case.
	manySmall = 64
	// severalSmall are worth it if they give half a batch.
	severalSmall = 8
)

// pass is one way through the index, from the oldest batch to the newest, that
// writes again what is worth it: small neighbours as one batch, and the
// survivors of the oldest segments where too little of the log is live.
//
// It writes no batch twice and comes to an end, however it is interrupted by
// other writes.
type pass struct {
	active  bool
	closing bool // nothing is to be written any more, and what it has freed is being removed

	last   types.Seq // numbers above are left to the next pass: else this one might never end
	after  types.Seq // the numbers up to here were dealt with
	vacate uint64    // the live messages of the segments below are to be moved

	scarce bool  // there is room in the reserve only
	spare  int64 // of which so much may be used up
	renew  bool  // the states that keep the segments below vacate are to be written again

	full  uint64 // bytes that batches are rolled up to
	small uint64 // bytes up to which a batch is rolled up
	most  uint64 // bytes that are read for one batch
}

// newPass begins a pass that rolls up small batches and moves nothing.
func (q *Queue) newPass(after types.Seq) pass {
	size := uint64(q.o.SegmentSize)
	p := pass{
		after:  after,
		active: true,
		last:   q.books.next - 1,
		full:   max(size/16, min(size/2, 8<<10)), // 512 KiB of 8 MiB; a segment in tests is smaller
		// 16 KiB of 8 MiB: what surrounds the messages of a larger batch is not
		// worth the space that its old copy takes until its segment goes.
		small: max(size/512, min(size/8, 1<<10)),
	}
	p.most = 2 * p.full
	return p
}

// plan begins a pass.
func (q *Queue) plan() pass {
	size, p := uint64(q.o.SegmentSize), q.newPass(0)
	if r, ok := q.medium.(Reserver); ok {
		if spare := r.Spare(int(min(someRoom, size/32))); spare < math.MaxInt64 {
			q.planScarce(&p, spare)
			return p
		}
	}
	if q.disk.crowded(q.o.SegmentSize) {
		p.vacate = q.disk.needed()
		return p
	}
	goal := q.goal()
	total := q.disk.total()
	if total <= goal+2*size {
		return p
	}
	live := q.liveBySegment()
	limit := q.disk.needed() // nothing from there on would be given back
	for _, s := range q.disk.segments {
		if s.ID >= limit || total <= goal+size {
			break
		}
		p.vacate = s.ID + 1
		total -= min(total, uint64(s.Bytes)-min(uint64(s.Bytes), live[s.ID]))
	}
	return p
}

// planScarce is for a full disk: it moves what lives in the oldest segments, of as
// many as a part of the reserve is enough for, if that gives back more than it takes.
// Where only states keep what could be given back, it has them written again: on a
// full disk no message comes that would bring a newer one.
func (q *Queue) planScarce(p *pass, spare int64) {
	p.scarce, p.spare, p.small = true, spare, 0
	p.vacate = q.worthVacating(q.disk.needed(), uint64(spare), 0)
	if p.vacate > 0 || len(q.disk.segments) == 0 {
		return
	}
	states := 2 * uint64(q.disk.stateSize+around)
	if p.vacate = q.worthVacating(math.MaxUint64, uint64(spare), max(states, uint64(q.o.SegmentSize)/64)); p.vacate > 0 {
		p.renew, p.spare = true, spare-int64(states)
	}
}

// worthVacating says below which segment, limit at most, all is to be moved that lives.
// That writes no more than spare bytes, other bytes included, and gives back more.
func (q *Queue) worthVacating(limit, spare, other uint64) (below uint64) {
	live := q.liveBySegment()
	moved, freed := other, uint64(0)
	for _, s := range q.disk.segments {
		if moved += live[s.ID] + live[s.ID]/32; s.ID >= limit || moved > spare { // and what surrounds it
			break
		}
		if freed += uint64(s.Bytes); freed > moved+moved/4 {
			below = s.ID + 1
		}
	}
	return below
}

// renewStates writes the states again that keep what the pass is going to vacate: two,
// in segments of their own, so that the loss of a file takes no more along than before.
func (q *Queue) renewStates() error {
	r, ok := q.medium.(Reserver)
	for n := 0; ok && n < 2 && q.disk.needed() < q.pass.vacate; n++ {
		turned, err := r.Turn(q.disk.stateSize)
		if err != nil {
			return q.fail("compact", err)
		}
		if !turned {
			q.pass.vacate = 0 // what lives there would be moved for nothing
			return nil
		}
		if err := q.writeState(false); err != nil {
			return err
		}
	}
	return nil
}

// liveBySegment is how many bytes of live messages each segment has.
func (q *Queue) liveBySegment() map[uint64]uint64 {
	live := make(map[uint64]uint64)
	for i := range q.index.spans {
		s := &q.index.spans[i]
		live[s.segment] += s.liveBytes()
	}
	return live
}

// manyNew says whether so many batches came behind the last pass that they are to be
// rolled up before the present one, which may take long, goes on: each takes memory.
func (q *Queue) manyNew() bool {
	return !q.pass.scarce && len(q.index.spans)-q.index.search(q.rolled+1) >= manyEntries
}

// goal is how large the log should be, in bytes: what is live by its share, and
// the states that are kept.
func (q *Queue) goal() uint64 {
	live := float64(q.index.live) + around*float64(len(q.index.spans))
	return uint64(live/liveShare) + 3*uint64(q.disk.stateSize)
}

// next finds neighbours, at most some many, that are to be written again as one.
func (p *pass) next(x *index, most int) (i, j int) {
	g := group{from: x.search(p.after + 1)}
	end := g.from
	for k := g.from; k < len(x.spans) && x.spans[k].last <= p.last; k++ {
		end = k + 1
		s := &x.spans[k]
		size, move := s.liveBytes(), s.segment < p.vacate && s.live > 0
		if !move && size > p.small || g.live > 0 && (g.bytes+size > p.full || g.read+s.toRead() > p.most) || k-g.from == most {
			if g.worth(p.full) {
				return g.from, k
			}
			g = group{from: k}
			if !move && size > p.small {
				g.from++
				continue
			}
		}
		g.bytes += size
		g.read += s.toRead()
		g.move = g.move || move
		if s.live > 0 {
			g.live++
		}
	}
	if g.worth(p.full) {
		return g.from, end
	}
	return 0, 0
}

// group is a number of neighbours that may be written as one.
type group struct {
	from  int
	bytes uint64 // of live messages
	read  uint64 // bytes of the batches that have some
	live  int    // spans that have some
	move  bool   // one of them lies in a segment that is to be vacated
}

func (g group) worth(full uint64) bool {
	return g.move || g.live >= manySmall || g.live >= severalSmall && g.bytes >= full/2
}
