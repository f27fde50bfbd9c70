package types

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The tree agrees with Matches in both directions, on random paths from a
// small alphabet that hits every rule of [MQTT-4.7].
func TestTreeAgreesWithMatches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	path := func(levels ...string) string {
		p := make([]string, 1+random.IntN(4))
		for i := range p {
			p[i] = levels[random.IntN(len(levels))]
		}
		return strings.Join(p, "/")
	}
	matched := 0
	for range 3000 {
		var filters, topics Tree[string]
		filterList, topicList := map[string]bool{}, map[string]bool{}
		for range 8 {
			if f := path("a", "b", "", "+", "#", "$x"); CheckFilter(f) == nil {
				v, _ := filters.At(f)
				*v = f
				filterList[f] = true
			}
			if p := path("a", "b", "", "$x"); p != "" {
				v, _ := topics.At(p)
				*v = p
				topicList[p] = true
			}
		}
		if n, m := filters.Nodes(), filters.Missing("c/b"); filters.Missing("a") > 1 || m != 2 {
			t.Fatalf("%d nodes, and %d more for another path", n, m)
		}
		for f := range filterList { // some go again
			if random.IntN(4) == 0 {
				filters.Remove(f)
				delete(filterList, f)
			}
		}
		for p := range topicList {
			var got, want []string
			filters.FiltersOf(p, func(f string) { got = append(got, f) })
			for f := range filterList {
				if Matches(f, p) {
					want = append(want, f)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("filters of %q: got %q, want %q", p, got, want)
			}
			matched += len(got)
		}
		for f := range filterList {
			var got, want []string
			topics.TopicsOf(f, func(p string) bool { got = append(got, p); return true })
			for p := range topicList {
				if Matches(f, p) {
					want = append(want, p)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("topics of %q: got %q, want %q", f, got, want)
			}
		}
		for f := range filterList {
			filters.Remove(f)
		}
		if len(filters.root.children) != 0 {
			t.Fatalf("nodes left after everything was removed: %v", filters.root.children)
		}
	}
	if matched < 1000 {
		t.Fatalf("only %d matches: the test says nothing", matched)
	}
}

// Nodes are counted, each once, and Missing says what comes.
func TestTreeCountsItsNodes(t *testing.T) {
	var tree Tree[int]
	add := func(path string, want int) {
		t.Helper()
		before := tree.Nodes()
		missing := tree.Missing(path)
		tree.At(path)
		if got := tree.Nodes() - before; got != want || missing != want || tree.Missing(path) != 0 {
			t.Errorf("%s: %d nodes more, %d were missing; want %d", path, got, missing, want)
		}
	}
	add("a/b/c", 3)
	add("a/b", 0)
	add("a//", 2)
	add("x", 1)
	for _, path := range []string{"a/b/c", "nothing/b", "a//", "x", "a/b", "a/b"} {
		tree.Remove(path)
	}
	if n := tree.Nodes(); n != 0 {
		t.Errorf("%d are left of nothing", n)
	}
}
