package persistence

import (
	"encoding/binary"
	"math/bits"

	"github.com/mqttdb/mqttdb/types"
)

// appendSet appends the numbers of s as pieces in rising order, which do not
// overlap:
//
//	uvarint  first − end of the piece before (of the first piece: first); the
//	         end is the number behind the last one
//	uvarint  n; even: n/2 more numbers follow first
//	            1: a bitmap of 2,048 bytes follows: bit i of it, counted from the
//	            lowest of its first byte on, says that first + i is in the set;
//	            first is a multiple of 16,384, the piece ends behind the last bit
func appendSet(out []byte, s Set) []byte {
	end := types.Seq(0)
	var run Range // found, and perhaps continued by the next chunk
	flush := func() {
		if run.First != 0 {
			out = binary.AppendUvarint(out, uint64(run.First-end))
			out = binary.AppendUvarint(out, uint64(run.Last-run.First)<<1)
			end = run.Last + 1
			run = Range{}
		}
	}
	for _, c := range s.chunks {
		if c.bits != nil {
			flush()
			out = binary.AppendUvarint(out, uint64(c.first()-end))
			out = append(out, 1)
			for _, word := range c.bits {
				out = binary.LittleEndian.AppendUint64(out, word)
			}
			end = c.first() + chunkNumbers
			continue
		}
		for r, ok := c.next(c.first()); ok; r, ok = c.next(r.Last + 1) {
			if run.First != 0 && run.Last+1 == r.First {
				run.Last = r.Last
				continue
			}
			flush()
			run = r
		}
	}
	flush()
	return out
}

// set reads what appendSet wrote.
func (r *reader) set() Set {
	var s Set
	end := types.Seq(0)
	for len(r.b) > 0 {
		gap, n := r.uvarint(), r.uvarint()
		room := uint64(maxSeq - end)
		first := end + types.Seq(min(gap, room))
		switch {
		case r.err != nil:
			return Set{}
		case gap > room || max(n/2, chunkNumbers) > room-gap || n%2 == 0 && first == 0:
			r.fail("numbers out of range")
			return Set{}
		case n%2 == 0:
			end = first + types.Seq(n/2) + 1
			s.Add(Range{first, end - 1})
		default:
			c := r.bitmap(first, n)
			if c == nil {
				return Set{}
			}
			s.chunks = append(s.chunks, c)
			s.account(c, +1)
			end = first + chunkNumbers
		}
	}
	return s
}

// bitmap reads a chunk that is a bitmap, neither empty nor full.
func (r *reader) bitmap(first types.Seq, n uint64) *chunk {
	b := r.bytes(chunkNumbers / 8)
	if n != 1 || first%chunkNumbers != 0 || b == nil {
		r.fail("a bitmap of numbers")
		return nil
	}
	c := &chunk{index: indexOf(first), bits: make([]uint64, chunkWords)}
	for i := range c.bits {
		c.bits[i] = binary.LittleEndian.Uint64(b[8*i:])
		c.count += uint64(bits.OnesCount64(c.bits[i]))
	}
	if c.count == 0 || c.count == chunkNumbers || first == 0 && c.bits[0]&1 != 0 {
		r.fail("a bitmap of numbers")
		return nil
	}
	return c
}

// Append appends the numbers of s in the form in which a state holds them, see
// docs/formats.md.
func (s Set) Append(b []byte) []byte { return appendSet(b, s) }

// ParseSet reads what Append wrote, and nothing behind it. The error wraps
// types.ErrCorrupt.
func ParseSet(b []byte) (Set, error) {
	r := reader{b: b}
	s := r.set()
	return s, r.err
}
