package types

import (
	"strings"
	"testing"
)

func TestCovers(t *testing.T) {
	tests := []struct {
		wide, narrow string
		want         bool
	}{
		{"#", "#", true}, {"#", "a/b", true}, {"#", "+/#", true}, {"+/#", "#", true},
		{"#", "$SYS/#", false}, {"#", "$share/g/a", false}, {"+/broker", "$SYS/broker", false}, {"$SYS/#", "$SYS/broker/+", true},
		{"$SYS/#", "#", false}, {"$SYS/#", "+/broker", false}, {"$SYS/+", "$SYS", false},
		{"sensors/#", "sensors", true}, {"sensors/#", "sensors/#", true}, {"sensors/#", "sensors/+/x/#", true},
		{"sensors/#", "#", false}, {"sensors/#", "+/x", false}, {"sensors/#", "sensors2/x", false}, {"sensors/#", "/sensors/x", false},
		{"sensors/#", "sensors/../x", true}, // no file system: it is a level like any other
		{"sensors/+", "sensors/#", false}, {"sensors/+", "sensors/+", true}, {"sensors/+", "sensors/", true}, {"sensors/+", "sensors", false},
		{"sensors/+/x", "sensors/+/+", false}, {"sensors/+/x", "sensors/1/x", true}, {"sensors/1/x", "sensors/+/x", false},
		{"a", "a/", false}, {"a/", "a", false}, {"A/#", "a/b", false}, {"+", "a/b", false}, {"+/+", "/", true}, {"+", "+", true}, {"+", "#", false},
	}
	for _, test := range tests {
		if got := Covers(test.wide, test.narrow); got != test.want {
			t.Errorf("Covers(%q, %q) = %v", test.wide, test.narrow, got)
		}
	}
}

// Of all short filters: one covers another exactly if it selects every short
// topic that the other selects.
func TestCoversIsInclusion(t *testing.T) {
	paths := func(levels ...string) []string {
		all := append([]string(nil), levels...)
		for range 3 {
			for _, p := range all {
				if strings.Count(p, "/") < 3 {
					for _, l := range levels {
						all = append(all, p+"/"+l)
					}
				}
			}
			seen := map[string]bool{}
			unique := all[:0:0]
			for _, p := range all {
				if !seen[p] {
					seen[p] = true
					unique = append(unique, p)
				}
			}
			all = unique
		}
		return all
	}
	// That the empty text is no topic makes "/#" and "/+/#" the same; nobody minds
	// that Covers does not know.
	topics, filters := []string{""}, []string(nil)
	for _, p := range paths("a", "", "$x", "z") { // z is in no filter
		if CheckTopic(p) == nil {
			topics = append(topics, p)
		}
	}
	for _, p := range paths("a", "", "$x", "+", "#") {
		if CheckFilter(p) == nil && strings.Count(p, "/") < 3 {
			filters = append(filters, p)
		}
	}
	selected := make([][]bool, len(filters))
	for i, f := range filters {
		selected[i] = make([]bool, len(topics))
		for k, topic := range topics {
			selected[i][k] = Matches(f, topic)
		}
	}
	covering := 0
	for i, wide := range filters {
		for j, narrow := range filters {
			all := true
			for k := range topics {
				all = all && (selected[i][k] || !selected[j][k])
			}
			if all {
				covering++
			}
			if got := Covers(wide, narrow); got != all {
				t.Errorf("Covers(%q, %q) = %v, but it selects every topic of it: %v", wide, narrow, got, all)
			}
		}
	}
	if covering < len(filters) {
		t.Errorf("%d of %d filters cover another", covering, len(filters))
	}
}
