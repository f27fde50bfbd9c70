package persistence

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// TestSetAgainstMap compares a set with a map after every step of random
// histories: runs and single numbers, dense and sparse, over chunk borders.
func TestSetAgainstMap(t *testing.T) {
	const space = 9 * chunkNumbers / 2
	for seed := range 4 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		base := types.Seq(seed*1000 + 1)
		var set Set
		in := make([]bool, space)
		var snapshot Set
		var had []Range
		for step := range 60 {
			first := r.IntN(space)
			length := 1 + r.IntN([]int{1, 1, 3, 200, 3000, 3 * chunkNumbers}[r.IntN(6)])
			last := min(first+length, space) - 1
			switch op := r.IntN(40); {
			case op == 0:
				set.RemoveTo(base + types.Seq(first/3))
				for i := range first/3 + 1 {
					in[i] = false
				}
			case op < 8:
				var gone uint64
				for i := first; i <= last; i++ {
					if in[i] {
						gone++
					}
					in[i] = false
				}
				if n := set.Remove(Range{base + types.Seq(first), base + types.Seq(last)}); n != gone {
					t.Fatalf("seed %d step %d: Remove says %d were in it, want %d", seed, step, n, gone)
				}
			case op == 8: // every third number
				for i := first; i < min(space, first+4000); i += 3 {
					set.Remove(Range{base + types.Seq(i), base + types.Seq(i)})
					in[i] = false
				}
			case op == 9: // many single numbers
				for i := first; i < min(space, first+4000); i += 2 {
					set.Add(Range{base + types.Seq(i), base + types.Seq(i)})
					in[i] = true
				}
			case op == 10:
				snapshot, had = set.Snapshot(), slices.Collect(set.All())
			default:
				var fresh uint64
				for i := first; i <= last; i++ {
					if !in[i] {
						fresh++
					}
					in[i] = true
				}
				if n := set.Add(Range{base + types.Seq(first), base + types.Seq(last)}); n != fresh {
					t.Fatalf("seed %d step %d: Add says %d were new, want %d", seed, step, n, fresh)
				}
			}
			compareSet(t, &set, base, in)
			decoded := (&reader{b: appendSet(nil, set)}).set()
			compareSet(t, &decoded, base, in)
			if !slices.Equal(slices.Collect(snapshot.All()), had) {
				t.Fatalf("seed %d step %d: the snapshot has changed", seed, step)
			}
		}
	}
}

func compareSet(t *testing.T, set *Set, base types.Seq, in []bool) {
	t.Helper()
	var want, missing []Range
	var count uint64
	for i, is := range in {
		s := base + types.Seq(i)
		list := &missing
		if is {
			list = &want
			count++
		}
		if n := len(*list); n > 0 && (*list)[n-1].Last+1 == s {
			(*list)[n-1].Last = s
		} else {
			*list = append(*list, Range{s, s})
		}
	}
	all := Range{base, base + types.Seq(len(in)) - 1}
	switch {
	case set.Count() != count:
		t.Fatalf("count %d, want %d", set.Count(), count)
	case !slices.Equal(slices.Collect(set.All()), want):
		t.Fatalf("runs differ")
	case !slices.Equal(slices.Collect(set.Missing(all)), missing):
		t.Fatalf("missing runs differ: %v, want %v", slices.Collect(set.Missing(all)), missing)
	case set.Within(all) != count:
		t.Fatalf("within %d, want %d", set.Within(all), count)
	}
	for _, i := range []int{0, len(in) / 3, chunkNumbers - 1001, chunkNumbers - 1, chunkNumbers, len(in) - 1} {
		if set.Contains(base+types.Seq(i)) != in[i] {
			t.Fatalf("contains(%d) is %t", i, !in[i])
		}
		part := Range{base + types.Seq(i/2), base + types.Seq(i)}
		var within uint64
		for k := i / 2; k <= i; k++ {
			if in[k] {
				within++
			}
		}
		if set.Within(part) != within {
			t.Fatalf("within %v is %d, want %d", part, set.Within(part), within)
		}
	}
	size := 0
	for _, c := range set.chunks {
		size += c.size()
		if c.count == 0 {
			t.Fatal("an empty chunk was kept")
		}
	}
	if set.Size() != size {
		t.Fatalf("size %d, want %d", set.Size(), size)
	}
}

// Two bits for each number, whatever the pattern; runs cost next to nothing.
func TestSetStaysSmall(t *testing.T) {
	const n = 1 << 20
	for _, c := range []struct {
		name   string
		step   types.Seq
		length types.Seq
		most   int
	}{
		{"every second number", 2, 1, n / 8 * 5 / 4},
		{"every third number", 3, 1, n / 8 * 5 / 4},
		{"every hundredth number", 100, 1, n / 4},
		{"one run", n, n, n / chunkNumbers * 64},
	} {
		var set Set
		for s := types.Seq(1); s+c.length <= n+1; s += c.step {
			set.Add(Range{s, s + c.length - 1})
		}
		if set.Size() > c.most {
			t.Errorf("%s: %d bytes, want at most %d", c.name, set.Size(), c.most)
		}
	}
}

func BenchmarkSetAdd(b *testing.B) {
	for _, c := range []struct {
		name string
		step types.Seq
	}{{"in order", 1}, {"every second", 2}} {
		b.Run(c.name, func(b *testing.B) {
			var set Set
			next := types.Seq(1)
			for b.Loop() {
				set.Add(Range{next, next})
				next += c.step
			}
		})
	}
}
