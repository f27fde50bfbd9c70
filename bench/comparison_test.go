//go:build linux

package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Each row of each table has a cell for each column, whatever is known, and says
// why there is nothing else in it.
func TestTables(t *testing.T) {
	runs := starter{version: "v1", start: func(context.Context, string, string) (product, error) { return nil, nil }}
	c := &comparison{plan: plan{backlogs: [3]int{10, 100, 1000}, draining: time.Second, settling: time.Second}, standings: []*standing{
		{contender: contender{what: "all", name: "gateway", ours: true}, starter: runs, empty: 1 << 20, busy: 5,
			paces: [3]paced{
				{sample{1}, sample{2}, sample{3}, sample{4}, sample{5}}, {sample{1}, sample{2}, sample{3}, sample{4}, nil},
				{sample{1}, sample{2}, sample{3}, sample{4}, sample{5}},
			},
			backlogs: [3]backlog{
				{wanted: 10, stored: 10, watched: 1, arrived: 10, rate: 7}, {wanted: 100, stored: 50, watched: 1, arrived: 40, idle: 1, rate: 9, late: true},
				{wanted: 1000, stored: 1000, watched: time.Second, idle: 1, lost: 1000, crashed: true},
			},
			crashes: []crash{{stored: 5, lost: 2, late: true}, {there: true, stored: 5, doubled: 3}},
		},
		{contender: contender{what: "little"}, starter: runs},
		{contender: contender{what: "nothing"}, troubles: []string{"it could not run: there is no node"}},
	}}
	r := &report{}
	c.report(r)
	for _, table := range r.tables {
		rows := strings.Split(strings.TrimSpace(table), "\n")[2:]
		if len(rows) != 2+len(c.standings) {
			t.Errorf("%d rows:\n%s", len(rows), table)
		}
		for _, row := range rows {
			if strings.Count(row, "|") != strings.Count(rows[0], "|") {
				t.Errorf("its cells are not those of %s:\n%s", rows[0], row)
			}
		}
		if last := rows[len(rows)-1]; !strings.Contains(last, "there is no node") {
			t.Errorf("it does not say why it did not run: %s", last)
		}
	}
	all := r.markdown()
	for _, text := range []string{
		"2 of 5 not there after 1s / 0 / 0 / 0", "0 of 5 / 3 / 0 / 0", "none came in 1s / 0 / 0 / 0", // killed
		"9/s, 40 of 50", "(50: stopped after 0s)", "| 5.0; –; 5.0 |",
	} {
		if !strings.Contains(all, text) {
			t.Errorf("the report has no %q:\n%s", text, all)
		}
	}
	if !strings.Contains(all, "| all: lost or late, reordered, damaged | none | 1012 |") || !strings.Contains(all, "**miss**") {
		t.Errorf("the losses do not miss the target:\n%s", all)
	}
}

func TestChooseContenders(t *testing.T) {
	for _, test := range []struct {
		name, asked string
		want        int // -1: refused
	}{
		{"all", "", len(contenders)},
		{"one", "gateway", 1},
		{"two", "autosave,gateway", 2},
		{"none of ours", "gateway,kafka", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			chosen, err := chooseContenders(test.asked)
			if (err != nil) != (test.want < 0) || err == nil && len(chosen) != test.want {
				t.Errorf("%d, %v", len(chosen), err)
			}
		})
	}
}
