package persistence

import (
	"math/bits"
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

const (
	chunkBits    = 14
	chunkNumbers = 1 << chunkBits // how many numbers a chunk stands for
	chunkWords   = chunkNumbers / 64
	chunkRuns    = chunkWords / 2 // as many runs take the same memory as a bitmap
)

// chunk is a piece of a Set: it holds those numbers whose higher bits are index,
// as runs or, once there are many of these, as a bitmap. One that is full has
// neither and stands for several in a row.
type chunk struct {
	index  uint64
	full   uint64 // so many, all of whose numbers are in the set
	runs   Ranges
	bits   []uint64
	count  uint64
	shared bool // with a snapshot: to be copied before it is changed
}

// indexOf is the index of the chunk that holds q.
func indexOf(q types.Seq) uint64 { return uint64(q) >> chunkBits }

func (c *chunk) first() types.Seq { return types.Seq(c.index << chunkBits) }

// end is the index behind the last that c stands for.
func (c *chunk) end() uint64 { return c.index + max(c.full, 1) }

// size is about how many bytes c takes.
func (c *chunk) size() int { return 64 + 16*len(c.runs) + 8*len(c.bits) }

// owned returns c, or a copy of it, that may be changed.
func (c *chunk) owned() *chunk {
	if !c.shared {
		return c
	}
	return &chunk{index: c.index, full: c.full, runs: slices.Clone(c.runs), bits: slices.Clone(c.bits), count: c.count}
}

func (c *chunk) contains(q types.Seq) bool {
	switch {
	case c.full > 0:
		return true
	case c.bits == nil:
		return c.runs.Contains(q)
	}
	bit := q - c.first()
	return c.bits[bit/64]&(1<<(bit%64)) != 0
}

// next returns the first run at q or behind it, without what lies below q.
func (c *chunk) next(q types.Seq) (Range, bool) {
	if indexOf(q) >= c.end() {
		return Range{}, false
	}
	if c.full > 0 {
		return Range{q, types.Seq(c.end()<<chunkBits) - 1}, true
	}
	if c.bits == nil {
		i := c.runs.search(q)
		if i == len(c.runs) {
			return Range{}, false
		}
		return Range{max(q, c.runs[i].First), c.runs[i].Last}, true
	}
	from := c.find(uint64(q-c.first()), 0)
	if from == chunkNumbers {
		return Range{}, false
	}
	to := c.find(from, ^uint64(0))
	return Range{c.first() + types.Seq(from), c.first() + types.Seq(to) - 1}, true
}

// find returns the first bit at from or behind it that is set, in the bitmap
// xored with invert.
func (c *chunk) find(from uint64, invert uint64) uint64 {
	for from < chunkNumbers {
		if word := (c.bits[from/64] ^ invert) >> (from % 64); word != 0 {
			return from + uint64(bits.TrailingZeros64(word))
		}
		from += 64 - from%64
	}
	return chunkNumbers
}

// add adds r, which lies in the chunk.
func (c *chunk) add(r Range) {
	if c.bits != nil {
		c.count += c.set(r)
		return
	}
	c.count += c.runs.Add(r)
	c.condense()
}

// condense makes a bitmap of the runs once there are many.
func (c *chunk) condense() {
	if len(c.runs) <= chunkRuns {
		return
	}
	c.bits = make([]uint64, chunkWords)
	for _, r := range c.runs {
		c.set(r)
	}
	c.runs = nil
}

// set sets the bits of r and returns how many were not.
func (c *chunk) set(r Range) (n uint64) {
	c.eachWord(r, func(word *uint64, mask uint64) {
		n += uint64(bits.OnesCount64(mask &^ *word))
		*word |= mask
	})
	return n
}

// clear clears the bits of r and returns how many were set.
func (c *chunk) clear(r Range) (n uint64) {
	c.eachWord(r, func(word *uint64, mask uint64) {
		n += uint64(bits.OnesCount64(mask & *word))
		*word &^= mask
	})
	return n
}

// eachWord calls do for each word of the bitmap that has bits of r, with a mask of
// these.
func (c *chunk) eachWord(r Range, do func(word *uint64, mask uint64)) {
	from, to := uint64(r.First-c.first()), uint64(r.Last-c.first())+1
	for from < to {
		mask := ^uint64(0) << (from % 64)
		if end := from%64 + to - from; end < 64 {
			mask &= 1<<end - 1
		}
		do(&c.bits[from/64], mask)
		from += 64 - from%64
	}
}

// without returns what is left of c without r: chunks that may be changed, none of
// them empty.
func (c *chunk) without(r Range) []*chunk {
	last := types.Seq(c.end()<<chunkBits) - 1
	if r.First <= c.first() && last <= r.Last {
		return nil
	}
	if c.full > 0 {
		var left Set
		if r.First > c.first() {
			left.Add(Range{c.first(), r.First - 1})
		}
		if r.Last < last {
			left.Add(Range{r.Last + 1, last})
		}
		return left.chunks
	}
	c = c.owned()
	c.remove(Range{max(r.First, c.first()), min(r.Last, last)})
	if c.count == 0 {
		return nil
	}
	return []*chunk{c}
}

// remove takes r, which lies in the chunk, out of it. The chunk is not full.
func (c *chunk) remove(r Range) {
	if c.bits != nil {
		c.count -= c.clear(r)
		return
	}
	c.count -= c.runs.Remove(r)
	c.condense()
}
