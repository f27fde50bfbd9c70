package persistence

import (
	"iter"
	"slices"
	"sort"

	"github.com/mqttdb/mqttdb/types"
)

// Set is a set of numbers that stays small however they are scattered: it takes
// little more than a bit of memory for each number between its first and its
// last, and next to nothing where they follow each other. The zero value is the
// empty set.
//
// A copy made by Snapshot may be read while the original is changed.
type Set struct {
	chunks []*chunk // in order, none empty
	count  uint64
	size   int
}

// Count is how many numbers the set holds.
func (s Set) Count() uint64 { return s.count }

// Size is about how many bytes the set takes, in memory as well as encoded.
func (s Set) Size() int { return s.size }

// Contains says whether q is in the set.
func (s Set) Contains(q types.Seq) bool {
	i, found := s.search(indexOf(q))
	return found && s.chunks[i].contains(q)
}

// All yields the runs of the set in order; they do not touch each other.
func (s Set) All() iter.Seq[Range] { return s.From(0) }

// From yields the runs of the set in order, without what lies below q.
func (s Set) From(q types.Seq) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		var run Range // found, and perhaps continued by the next chunk
		open := false
		i, _ := s.search(indexOf(q))
		for _, c := range s.chunks[i:] {
			for r, ok := c.next(max(q, c.first())); ok; r, ok = c.next(r.Last + 1) {
				if open && run.Last+1 == r.First {
					run.Last = r.Last
					continue
				}
				if open && !yield(run) {
					return
				}
				run, open = r, true
			}
		}
		if open {
			yield(run)
		}
	}
}

// Within returns how many numbers of r are in the set.
func (s Set) Within(r Range) uint64 {
	var n uint64
	for run := range s.From(r.First) {
		if run.First > r.Last {
			break
		}
		n += overlap(run, r)
	}
	return n
}

// Missing yields the runs of r that are not in the set.
func (s Set) Missing(r Range) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		next := r.First
		for run := range s.From(r.First) {
			if run.First > r.Last {
				break
			}
			if run.First > next && !yield(Range{next, run.First - 1}) {
				return
			}
			if run.Last >= r.Last {
				return
			}
			next = run.Last + 1
		}
		if next <= r.Last {
			yield(Range{next, r.Last})
		}
	}
}

// Add adds r to the set and returns how many of its numbers were new. Its last
// number must be below 1<<63.
func (s *Set) Add(r Range) uint64 {
	had := s.count
	for r.First <= r.Last {
		index := indexOf(r.First)
		if whole := indexOf(r.Last+1) - index; whole > 0 && r.First%chunkNumbers == 0 {
			s.fill(index, whole)
			r.First += types.Seq(whole * chunkNumbers)
			continue
		}
		part := Range{r.First, min(r.Last, r.First|(chunkNumbers-1))}
		r.First = part.Last + 1
		c := s.own(index)
		if c.full > 0 {
			continue
		}
		s.account(c, -1)
		c.add(part)
		s.account(c, +1)
		if c.count == chunkNumbers {
			s.fill(index, 1)
		}
	}
	return s.count - had
}

// fill puts one chunk in the place of all that lie among the n from index on.
func (s *Set) fill(index, n uint64) {
	end := index + n
	i, _ := s.search(index)
	if i > 0 && s.chunks[i-1].full > 0 && s.chunks[i-1].end() == index {
		i-- // continues it
	}
	j := i
	for ; j < len(s.chunks); j++ {
		c := s.chunks[j]
		if c.index > end || c.index == end && c.full == 0 {
			break
		}
		index = min(index, c.index)
		end = max(end, c.end())
		s.account(c, -1)
	}
	c := &chunk{index: index, full: end - index, count: (end - index) * chunkNumbers}
	s.chunks = slices.Replace(s.chunks, i, j, c)
	s.account(c, +1)
}

// RemoveTo takes all numbers up to last out of the set.
func (s *Set) RemoveTo(last types.Seq) { s.Remove(Range{0, last}) }

// Remove takes r out of the set and returns how many of its numbers were in it.
func (s *Set) Remove(r Range) uint64 {
	had := s.count
	i, _ := s.search(indexOf(r.First))
	j := i
	var kept []*chunk
	for ; j < len(s.chunks) && s.chunks[j].first() <= r.Last; j++ {
		c := s.chunks[j]
		s.account(c, -1)
		kept = append(kept, c.without(r)...)
	}
	for _, c := range kept {
		s.account(c, +1)
	}
	s.chunks = slices.Replace(s.chunks, i, j, kept...)
	return had - s.count
}

// Snapshot returns a copy of the set. Once it was taken it may be read from any
// goroutine.
func (s *Set) Snapshot() Set {
	for _, c := range s.chunks {
		c.shared = true
	}
	return Set{slices.Clone(s.chunks), s.count, s.size}
}

// search returns the position of the chunk that stands for index, or of the
// first behind it.
func (s Set) search(index uint64) (int, bool) {
	if n := len(s.chunks); n > 0 && s.chunks[n-1].end() <= index { // the common case
		return n, false
	}
	i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].end() > index })
	return i, i < len(s.chunks) && s.chunks[i].index <= index
}

// own returns the chunk that stands for index. It may be changed.
func (s *Set) own(index uint64) *chunk {
	i, found := s.search(index)
	if !found {
		c := &chunk{index: index}
		s.chunks = slices.Insert(s.chunks, i, c)
		s.account(c, +1)
		return c
	}
	s.chunks[i] = s.chunks[i].owned()
	return s.chunks[i]
}

// account adds c to the sums, or takes it out of them.
func (s *Set) account(c *chunk, sign int) {
	s.size += sign * c.size()
	s.count += uint64(sign) * c.count
}
