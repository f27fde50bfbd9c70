package persistence

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

const last = ^types.Seq(0)

// model is a set of numbers among the size ones from base.
type model struct {
	base types.Seq
	in   [40]bool
}

func (m *model) each(r Range, visit func(in *bool)) {
	for i := range m.in {
		if s := m.base + types.Seq(i); r.First <= s && s <= r.Last {
			visit(&m.in[i])
		}
	}
}

func (m *model) set(r Range, to bool) (changed uint64) {
	m.each(r, func(in *bool) {
		if *in != to {
			*in = to
			changed++
		}
	})
	return changed
}

func (m *model) ranges() (rs Ranges) {
	for i, in := range m.in {
		s := m.base + types.Seq(i)
		switch {
		case !in:
		case i > 0 && m.in[i-1]:
			rs[len(rs)-1].Last = s
		default:
			rs = append(rs, Range{s, s})
		}
	}
	return rs
}

// random returns a range of the model's numbers, sometimes a backward one,
// which is empty.
func (m *model) random(rnd *rand.Rand) Range {
	at := func() types.Seq { return m.base + types.Seq(rnd.IntN(len(m.in))) }
	first := at()
	if rnd.IntN(2) == 0 {
		length := min(rnd.IntN(4), int(m.base+types.Seq(len(m.in)-1)-first))
		return Range{first, first + types.Seq(length)}
	}
	return Range{first, at()}
}

// TestRangesAgainstModel does the same to a set and to a plain array, at the
// low end of the numbers, in between, and where the next one would overflow.
func TestRangesAgainstModel(t *testing.T) {
	for _, base := range []types.Seq{0, 1, 1 << 32, last - 39} {
		t.Run(fmt.Sprint(base), func(t *testing.T) {
			for seed := range uint64(100) {
				rangesHistory(t, base, rand.New(rand.NewPCG(seed, uint64(base))))
			}
		})
	}
}

func rangesHistory(t *testing.T, base types.Seq, rnd *rand.Rand) {
	t.Helper()
	var rs Ranges
	m := model{base: base}
	history := ""
	for range 60 {
		r := m.random(rnd)
		var got, want uint64
		switch rnd.IntN(3) {
		case 0, 1:
			history += fmt.Sprintf(" +%d-%d", r.First-base, r.Last-base)
			got, want = rs.Add(r), m.set(r, true)
		case 2:
			history += fmt.Sprintf(" -%d-%d", r.First-base, r.Last-base)
			got, want = rs.Remove(r), m.set(r, false)
		}
		if got != want {
			t.Fatalf("history%s: the last changed %d, want %d", history, got, want)
		}
		checkRanges(t, history, rs, &m)
		q := m.random(rnd)
		checkQuestions(t, history, rs, &m, q)
	}
}

func checkRanges(t *testing.T, history string, rs Ranges, m *model) {
	t.Helper()
	if want := m.ranges(); fmt.Sprint(rs) != fmt.Sprint(want) {
		t.Fatalf("history%s: %v, want %v", history, rs, want)
	}
	var count uint64
	m.each(Range{0, last}, func(in *bool) {
		if *in {
			count++
		}
	})
	if rs.Count() != count {
		t.Fatalf("history%s: Count %d, want %d", history, rs.Count(), count)
	}
	for i, in := range m.in {
		if s := m.base + types.Seq(i); rs.Contains(s) != in {
			t.Fatalf("history%s: Contains(%d) is %v", history, s-m.base, !in)
		}
	}
}

func checkQuestions(t *testing.T, history string, rs Ranges, m *model, q Range) {
	t.Helper()
	var within, without uint64
	m.each(q, func(in *bool) {
		if *in {
			within++
		} else {
			without++
		}
	})
	if got := rs.Within(q); got != within {
		t.Fatalf("history%s: Within(%d-%d) = %d, want %d", history, q.First-m.base, q.Last-m.base, got, within)
	}
	missing := rs.Missing(q)
	if missing.Count() != without {
		t.Fatalf("history%s: Missing(%d-%d) = %v, want %d numbers", history, q.First-m.base, q.Last-m.base, missing, without)
	}
	for i, r := range missing {
		if r.First < q.First || r.Last > q.Last || r.First > r.Last || rs.Within(r) != 0 || i > 0 && missing[i-1].Last+1 >= r.First {
			t.Fatalf("history%s: Missing(%d-%d) = %v", history, q.First-m.base, q.Last-m.base, missing)
		}
	}
}

func TestRangesAtTheEnd(t *testing.T) {
	tests := []struct {
		name string
		do   func(rs *Ranges) uint64
		got  uint64
		want Ranges
	}{
		{"add the last number", func(rs *Ranges) uint64 { return rs.Add(Range{last, last}) }, 1, Ranges{{5, 9}, {last, last}}},
		{"add all behind", func(rs *Ranges) uint64 { return rs.Add(Range{10, last}) }, uint64(last) - 9, Ranges{{5, last}}},
		{"add over it", func(rs *Ranges) uint64 { return rs.Add(Range{1, last}) }, uint64(last) - 5, Ranges{{1, last}}},
		{"add below the end", func(rs *Ranges) uint64 { rs.Add(Range{last, last}); return rs.Add(Range{last - 1, last - 1}) }, 1, Ranges{{5, 9}, {last - 1, last}}},
		{"add zero behind the last number", func(rs *Ranges) uint64 { rs.Add(Range{last, last}); return rs.Add(Range{0, 0}) }, 1, Ranges{{0, 0}, {5, 9}, {last, last}}},
		{"add zero to the last number alone", func(rs *Ranges) uint64 { *rs = Ranges{{last, last}}; return rs.Add(Range{0, 0}) }, 1, Ranges{{0, 0}, {last, last}}},
		{"remove the last number", func(rs *Ranges) uint64 { rs.Add(Range{last - 1, last}); return rs.Remove(Range{last, last}) }, 1, Ranges{{5, 9}, {last - 1, last - 1}}},
		{"remove to the end", func(rs *Ranges) uint64 { return rs.Remove(Range{7, last}) }, 3, Ranges{{5, 6}}},
		{"remove everything", func(rs *Ranges) uint64 { return rs.Remove(Range{0, last}) }, 5, Ranges{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rs := Ranges{{5, 9}}
			if got := tt.do(&rs); got != tt.got || fmt.Sprint(rs) != fmt.Sprint(tt.want) {
				t.Errorf("changed %d, want %d; %v, want %v", got, tt.got, rs, tt.want)
			}
		})
	}
}

func TestRangesMissingAtTheEnd(t *testing.T) {
	rs := Ranges{{5, 9}, {last - 1, last}}
	if got, want := rs.Missing(Range{0, last}), (Ranges{{0, 4}, {10, last - 2}}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Missing = %v, want %v", got, want)
	}
	if got := (Ranges{}).Missing(Range{3, last}); fmt.Sprint(got) != fmt.Sprint(Ranges{{3, last}}) {
		t.Errorf("Missing of nothing = %v", got)
	}
}
