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
	if len(c.runs) > chunkRuns {
		c.bits = make([]uint64, chunkWords)
		for _, r := range c.runs {
			c.set(r)
		}
		c.runs = nil
	}
}

// set sets the bits of r and returns how many were not.
func (c *chunk) set(r Range) uint64 {
	from, to := uint64(r.First-c.first()), uint64(r.Last-c.first())+1
	var n int
	for from < to {
		mask := ^uint64(0) << (from % 64)
		if end := from%64 + to - from; end < 64 {
			mask &= 1<<end - 1
		}
		word := &c.bits[from/64]
		n += bits.OnesCount64(mask &^ *word)
		*word |= mask
		from += 64 - from%64
	}
	return uint64(n)
}

// removeTo takes out all numbers up to last, and says whether any are left.
func (c *chunk) removeTo(last types.Seq) bool {
	if c.bits == nil {
		c.count -= c.runs.Remove(Range{c.first(), last})
		return c.count > 0
	}
	end := uint64(last-c.first()) + 1
	clear(c.bits[:end/64])
	if end%64 != 0 {
		c.bits[end/64] &= ^uint64(0) << (end % 64)
	}
	c.count = 0
	for _, word := range c.bits {
		c.count += uint64(bits.OnesCount64(word))
	}
	return c.count > 0
}
