package persistence

import (
	"encoding/binary"
	"iter"
	"slices"
	"sort"

	"github.com/mqttdb/mqttdb/types"
)

// Letter is a run of dead letters: messages that have left their queue as
// types.Dead and are kept, so that they can be put into it again.
type Letter struct {
	Range Range
	Why   string // what an operator is told
}

// Letters are dead letters, in order. The zero value is none.
type Letters struct {
	list  []Letter // ascending, not overlapping
	count uint64
	size  int
}

// letterSize is what a Letter takes beside its text, in bytes, encoded.
const letterSize = 24

// Count is how many messages they are.
func (l *Letters) Count() uint64 { return l.count }

// Size is about how many bytes they take, encoded.
func (l *Letters) Size() int { return l.size }

// All yields them in order.
func (l *Letters) All() iter.Seq[Letter] { return slices.Values(l.list) }

// Why says why a message was set aside, if it is one of them.
func (l *Letters) Why(q types.Seq) (string, bool) {
	if i := l.search(q); i < len(l.list) && l.list[i].Range.First <= q {
		return l.list[i].Why, true
	}
	return "", false
}

// Within returns how many numbers of r are among them.
func (l *Letters) Within(r Range) uint64 {
	var n uint64
	for i := l.search(r.First); i < len(l.list) && l.list[i].Range.First <= r.Last; i++ {
		n += overlap(l.list[i].Range, r)
	}
	return n
}

// Add adds the numbers of r; those that are among them already get the new text.
func (l *Letters) Add(r Range, why string) {
	if r.Last < r.First {
		return
	}
	l.Remove(r)
	i := l.search(r.First)
	if i > 0 && l.list[i-1].Range.Last+1 == r.First && l.list[i-1].Why == why {
		l.list[i-1].Range.Last = r.Last
	} else {
		l.list = slices.Insert(l.list, i, Letter{r, why})
		l.size += letterSize + len(why)
	}
	l.count += r.Count()
}

// Remove takes the numbers of r out and returns how many there were.
func (l *Letters) Remove(r Range) uint64 {
	had := l.count
	i := l.search(r.First)
	j := i
	var kept []Letter
	for ; j < len(l.list) && l.list[j].Range.First <= r.Last; j++ {
		x := l.list[j]
		l.count -= overlap(x.Range, r)
		l.size -= letterSize + len(x.Why)
		if x.Range.First < r.First {
			kept = append(kept, Letter{Range{x.Range.First, r.First - 1}, x.Why})
		}
		if x.Range.Last > r.Last {
			kept = append(kept, Letter{Range{r.Last + 1, x.Range.Last}, x.Why})
		}
	}
	for _, x := range kept {
		l.size += letterSize + len(x.Why)
	}
	l.list = slices.Replace(l.list, i, j, kept...)
	return had - l.count
}

// search returns the position of the first that ends at q or later.
func (l *Letters) search(q types.Seq) int {
	return sort.Search(len(l.list), func(i int) bool { return l.list[i].Range.Last >= q })
}

func appendLetters(out []byte, l *Letters) []byte {
	if len(l.list) == 0 {
		return out
	}
	texts := make(map[string]uint64)
	var order []string
	for _, x := range l.list {
		if _, ok := texts[x.Why]; !ok {
			texts[x.Why] = uint64(len(order))
			order = append(order, x.Why)
		}
	}
	out = binary.AppendUvarint(out, uint64(len(order)))
	for _, text := range order {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	previous := types.Seq(0)
	for _, x := range l.list {
		out = binary.AppendUvarint(appendRun(out, x.Range, previous), texts[x.Why])
		previous = x.Range.Last
	}
	return out
}

func (r *reader) letters() (l Letters) {
	texts := r.dictionary()
	previous := types.Seq(0)
	for len(r.b) > 0 {
		run, text := r.run(previous), r.uvarint()
		if r.err == nil && text >= uint64(len(texts)) {
			r.fail("the text of a dead letter")
		}
		if r.err != nil {
			return Letters{}
		}
		l.Add(run, texts[text])
		previous = run.Last
	}
	return l
}
