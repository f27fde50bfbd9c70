//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// report is what a run found.
type report struct {
	machine machine
	rounds  int
	backlog int
	rows    []row
	costs   []cost
	notes   []string
	tables  []string
}

// row holds one measurement against its target.
type row struct {
	what     string
	target   string
	measured string
	beside   string // what it was compared with; "": nothing
	held     sample // its median is held against the bounds: ratios, or what was measured

	least, most float64 // the bounds; 0: none
}

func (r row) passed() bool {
	v := r.held.median()
	return (r.least == 0 || v >= r.least) && (r.most == 0 || v <= r.most)
}

func (r row) verdict() string {
	if r.passed() {
		return "pass"
	}
	return "**miss**"
}

// cost is something worth knowing that has no target.
type cost struct {
	what, value string
}

// ratio is how the measurement compares with what is beside it.
func (r row) ratio() string {
	if r.beside == "" {
		return ""
	}
	return r.held.text(ratio)
}

func (r *report) add(row row) {
	r.rows = append(r.rows, row)
	text := fmt.Sprintf("  %s: %s", row.what, row.measured)
	if row.beside != "" {
		text += fmt.Sprintf("; %s; ratio %s", row.beside, row.ratio())
	}
	fmt.Fprintf(os.Stderr, "%s; target %s: %s\n", text, row.target, strings.Trim(row.verdict(), "*"))
}

// missed adds a row for what was to be measured and was not: it does not meet its target.
func (r *report) missed(what, target string) {
	r.add(row{what: what, target: target, measured: "not measured", held: sample{math.NaN()}, least: 1})
}

func (r *report) cost(what, value string) {
	r.costs = append(r.costs, cost{what, value})
	fmt.Fprintf(os.Stderr, "  %s: %s\n", what, value)
}

// empty says that there is nothing in it.
func (r *report) empty() bool {
	return len(r.rows)+len(r.costs)+len(r.tables)+len(r.notes) == 0
}

func (r *report) note(text string) { r.notes = append(r.notes, text) }

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# bench, %s\n\n%s\n", r.machine.when.Format(time.DateOnly), r.machine.markdown())
	fmt.Fprintf(&b, "Median (least–most) of %d rounds in which the contenders took turns; 200-byte payloads, a topic for each producer, a large backlog is %d messages.\n\n", r.rounds, r.backlog)
	if len(r.rows) > 0 {
		b.WriteString("| | target | measured | beside | ratio | |\n|---|---|---|---|---|---|\n")
	}
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.what, row.target, row.measured, row.beside, row.ratio(), row.verdict())
	}
	if len(r.costs) > 0 {
		b.WriteString("\n| what it costs | |\n|---|---|\n")
		for _, c := range r.costs {
			fmt.Fprintf(&b, "| %s | %s |\n", c.what, c.value)
		}
	}
	for _, t := range r.tables {
		b.WriteString("\n" + t)
	}
	if len(r.notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range r.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	return b.String()
}

// save writes the report into a folder, named after day and commit.
func (r *report) save(folder, suffix string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	name := r.file(folder, suffix, ".md")
	if err := os.WriteFile(name, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: written to %s\n", name)
	return nil
}

// file is what the report is called in a folder.
func (r *report) file(folder, suffix, extension string) string {
	return filepath.Join(folder, r.machine.when.Format(time.DateOnly)+"-"+r.machine.commit+suffix+extension)
}
