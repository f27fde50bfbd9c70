package persistence

import (
	"slices"
	"sort"

	"github.com/mqttdb/mqttdb/types"
)

// Range is a run of numbers, both ends included.
type Range struct{ First, Last types.Seq }

// Count is how many numbers r holds.
func (r Range) Count() uint64 { return uint64(r.Last-r.First) + 1 }

// Ranges is a set of numbers: ascending runs that neither overlap nor touch.
// The zero value is the empty set. Methods that change it may reuse its memory.
type Ranges []Range

// Count is how many numbers the set holds.
func (rs Ranges) Count() uint64 {
	var n uint64
	for _, r := range rs {
		n += r.Count()
	}
	return n
}

// Contains says whether s is in the set.
func (rs Ranges) Contains(s types.Seq) bool {
	i := rs.search(s)
	return i < len(rs) && rs[i].First <= s
}

// search returns the index of the first run that ends at s or later.
func (rs Ranges) search(s types.Seq) int {
	return sort.Search(len(rs), func(i int) bool { return rs[i].Last >= s })
}

// Add adds r to the set and returns how many of its numbers were new.
func (rs *Ranges) Add(r Range) uint64 {
	if r.Last < r.First {
		return 0
	}
	set := *rs
	if n := len(set); n > 0 && set[n-1].Last+1 == r.First && r.First != 0 { // the common case: it follows the last run
		set[n-1].Last = r.Last
		return r.Count()
	} else if n == 0 || set[n-1].Last < r.First {
		*rs = append(set, r)
		return r.Count()
	}
	i := set.search(r.First)
	if i > 0 && set[i-1].Last+1 == r.First {
		i-- // touches the run before
	}
	joined, had := r, uint64(0)
	j := i
	for ; j < len(set) && (joined.Last == ^types.Seq(0) || set[j].First <= joined.Last+1); j++ {
		had += overlap(set[j], r)
		joined.First = min(joined.First, set[j].First)
		joined.Last = max(joined.Last, set[j].Last)
	}
	*rs = slices.Replace(set, i, j, joined)
	return r.Count() - had
}

// Remove takes r out of the set and returns how many of its numbers were in it.
func (rs *Ranges) Remove(r Range) uint64 {
	set := *rs
	if r.Last < r.First || len(set) == 0 {
		return 0
	}
	i := set.search(r.First)
	var left []Range
	had, j := uint64(0), i
	for ; j < len(set) && set[j].First <= r.Last; j++ {
		had += overlap(set[j], r)
		if set[j].First < r.First {
			left = append(left, Range{set[j].First, r.First - 1})
		}
		if set[j].Last > r.Last {
			left = append(left, Range{r.Last + 1, set[j].Last})
		}
	}
	*rs = slices.Replace(set, i, j, left...)
	return had
}

// Within returns how many numbers of r are in the set.
func (rs Ranges) Within(r Range) uint64 {
	var n uint64
	for i := rs.search(r.First); i < len(rs) && rs[i].First <= r.Last; i++ {
		n += overlap(rs[i], r)
	}
	return n
}

// Missing returns the runs of r that are not in the set.
func (rs Ranges) Missing(r Range) Ranges {
	var out Ranges
	next := r.First
	for i := rs.search(r.First); i < len(rs) && rs[i].First <= r.Last; i++ {
		if rs[i].First > next {
			out = append(out, Range{next, rs[i].First - 1})
		}
		if rs[i].Last >= r.Last {
			return out
		}
		next = rs[i].Last + 1
	}
	if next <= r.Last {
		out = append(out, Range{next, r.Last})
	}
	return out
}

func overlap(a, b Range) uint64 {
	first, last := max(a.First, b.First), min(a.Last, b.Last)
	if last < first {
		return 0
	}
	return uint64(last-first) + 1
}
