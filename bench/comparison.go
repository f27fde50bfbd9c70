//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// find is a contender that runs, nil if it does not.
func (c *comparison) find(name string) *standing {
	for _, s := range c.running() {
		if s.name == name {
			return s
		}
	}
	return nil
}

// chosen says whether a contender is to be measured.
func (c *comparison) chosen(name string) bool {
	return slices.ContainsFunc(c.standings, func(s *standing) bool { return s.name == name })
}

// report holds what was found against the targets and puts it into tables.
func (c *comparison) report(r *report) {
	c.hold(r)
	r.tables = append(r.tables, c.in(), c.out(), c.holding(), c.crashes(), c.versions())
	r.note("The limits: a bare append of " + fmt.Sprint(protocol.Size) + " bytes with fdatasync takes " + spread(c.sync) +
		"; a bare publisher (window " + fmt.Sprint(window) + ") passes " + c.bare.text(rate) + " to the same subscriber through the same broker; a single message passes the broker alone in " + spread(c.mosquitto) + ".")
	r.note("Syncs are the flushes that the disk was asked for meanwhile, by whomever; two at the same moment may be one. The processor time and the memory of a library include its producers, those of the others do not. " +
		"A message to a library that passes through goes there over a pipe, which the latency includes.")
	r.note(fmt.Sprintf("A backlog is filled by %d producers with window 20 for %v at most; then the contender is ended in good order (the largest backlog: kill -9) and started when the broker is back, and for %v at most "+
		"(the largest: %v, and twice as long for the first message) what arrives is watched: “of” says how many came where that was not all. Latencies are from handing a message over to its acknowledgement.", clients, c.filling, c.draining, 2*c.draining))
	for _, s := range c.standings {
		for _, t := range s.troubles {
			r.note(s.what + ": " + t)
		}
	}
}

// hold adds the rows that have targets.
func (c *comparison) hold(r *report) {
	gateway, mosquitto, autosave := c.find("gateway"), c.find("mosquitto"), c.find("autosave")
	than := func(what, target string, a, b *standing, i int, of func(paced) sample, format func(float64) string, least, most float64) {
		if a == nil || b == nil || len(of(a.paces[i])) == 0 || len(of(a.paces[i])) != len(of(b.paces[i])) {
			if c.chosen("gateway") && c.chosen("mosquitto") && c.chosen("autosave") {
				r.missed(what, target)
			}
			return
		}
		ours, theirs := of(a.paces[i]), of(b.paces[i])
		held := make(sample, len(ours))
		for k := range held {
			held[k] = ours[k] / theirs[k]
		}
		r.add(row{what: what, target: target, measured: ours.text(format), beside: b.what + ": " + theirs.text(format), held: held, least: least, most: most})
	}
	rates, costs := func(p paced) sample { return p.rate }, func(p paced) sample { return p.cpu }
	than("gateway, 64 clients, window 1", "≥ 0.7 × mosquitto", gateway, mosquitto, 1, rates, rate, 0.7, 0)
	than("its CPU per message", "≤ 1.6 × mosquitto", gateway, mosquitto, 1, costs, micros, 0, 1.6)
	than("gateway, 64 clients, window 20", "≥ 1.5 × mosquitto", gateway, mosquitto, 2, rates, rate, 1.5, 0)
	than("its CPU per message", "≤ 0.8 × mosquitto", gateway, mosquitto, 2, costs, micros, 0, 0.8)
	than("gateway, 64 clients, window 20", "≥ 10 × autosave_on_changes", gateway, autosave, 2, rates, rate, 10, 0)
	for _, s := range c.standings {
		switch {
		case s.ours && s.start != nil:
			c.holdOurs(r, s)
		case s.ours:
			r.missed(s.what, "runs")
		}
	}
}

// holdOurs adds the rows about one of ours.
func (c *comparison) holdOurs(r *report, s *standing) {
	bare := c.sync.At(0.5)
	if p50 := s.paces[0].p50; len(p50) > 0 {
		r.add(row{
			what: s.what + ", 1 producer: p50", target: "≤ 1.5 × bare fdatasync", measured: p50.text(micros),
			beside: "bare: " + micros(bare), held: sample{p50.median() / bare}, most: 1.5,
		})
	} else {
		r.missed(s.what+", 1 producer: p50", "≤ 1.5 × bare fdatasync")
	}
	if len(s.through) > 0 {
		limit := bare + c.mosquitto.At(0.5)
		r.add(row{
			what: s.what + ", passing through: p50", target: "≤ 1.5 × (bare fdatasync + mosquitto)", measured: micros(s.through.At(0.5)),
			beside: "bare + mosquitto: " + micros(limit), held: sample{s.through.At(0.5) / limit}, most: 1.5,
		})
	} else {
		r.missed(s.what+", passing through: p50", "≤ 1.5 × (bare fdatasync + mosquitto)")
	}
	for i, g := range s.backlogs {
		if g.arrived == 0 {
			r.missed(fmt.Sprintf("%s, drain of %d", s.what, g.wanted), "leaves")
			continue
		}
		if i == 1 {
			r.add(row{
				what: fmt.Sprintf("%s, drain of %d", s.what, g.stored), target: "≥ 0.95 × bare publisher", measured: rate(g.rate),
				beside: "bare: " + c.bare.text(rate), held: sample{g.rate / c.bare.median()}, least: 0.95,
			})
			r.add(row{what: s.what + ", CPU per message out", target: "≤ 8 µs", measured: micros(g.cpu), held: sample{g.cpu}, most: 8})
		} else if flat := s.backlogs[1].rate; flat > 0 {
			r.add(row{
				what: fmt.Sprintf("%s, drain of %d", s.what, g.stored), target: "the same, ±10 %", measured: rate(g.rate),
				beside: fmt.Sprintf("of %d: %s", s.backlogs[1].stored, rate(flat)), held: sample{g.rate / flat}, least: 0.9, most: 1.1,
			})
		}
	}
	if alone := s.backlogs[1].rate; alone > 0 && s.busy > 0 {
		r.add(row{
			what: s.what + ", sending while " + paces[2].String() + " come in", target: "≥ 0.9 × the drain", measured: perSecond(s.busy),
			beside: "drain: " + rate(alone), held: sample{s.busy / alone}, least: 0.9,
		})
	} else {
		r.missed(s.what+", sending while "+paces[2].String()+" come in", "≥ 0.9 × the drain")
	}
	if g := s.backlogs[2]; g.arrived > 0 {
		pending := fmt.Sprintf("%s, %d pending: ", s.what, g.stored)
		r.add(row{what: pending + "memory, idle", target: "≤ 32 MB", measured: mib(g.idle), held: sample{g.idle}, most: 32e6})
		r.add(row{what: pending + "memory, draining", target: "≤ 64 MB", measured: mib(g.draining), held: sample{g.draining}, most: 64e6})
		r.add(row{what: pending + "start after kill -9 to the first message out", target: "< 300 ms", measured: seconds(g.first.Seconds()), held: sample{g.first.Seconds()}, most: 0.3})
		r.add(row{what: pending + "disk per message", target: "≤ 230 B", measured: bytes(g.disk), held: sample{g.disk}, most: 230})
	}
	wrong, looked := 0, len(s.crashes) > 0
	for _, g := range s.backlogs {
		wrong, looked = wrong+g.lost+g.reorder+g.damaged, looked || g.watched > 0
		if g.late { // nothing is known to be lost, nor is it known to be there
			wrong += g.stored - g.arrived
		}
	}
	for _, k := range s.crashes {
		wrong += k.lost + k.reordered + k.damaged
	}
	if !looked {
		return
	}
	r.add(row{what: s.what + ": lost or late, reordered, damaged", target: "none", measured: fmt.Sprint(wrong), held: sample{float64(wrong)}, most: 0.5})
}

// spread is the median and the 99th percentile.
func spread(l protocol.Latencies) string {
	if len(l) == 0 {
		return "–"
	}
	return duration(l.At(0.5)) + " / " + duration(l.At(0.99))
}

// duration is of µs, with three digits.
func duration(us float64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%.3g µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.3g ms", us/1000)
	}
	return time.Duration(us * 1000).Round(100 * time.Millisecond).String()
}

// perSecond is a rate of any size.
func perSecond(v float64) string {
	if v < 1000 {
		return fmt.Sprintf("%.3g/s", v)
	}
	return rate(v)
}

// grid is a table with a row for each contender.
func (c *comparison) grid(title string, columns []string, cells func(*standing) []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| | %s |\n|---%s|\n", title, strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for _, s := range c.standings {
		name, row := s.what, make([]string, len(columns))
		if s.ours {
			name = "**" + name + "**"
		}
		if s.start != nil {
			row = cells(s)
		} else if len(s.troubles) > 0 {
			row[0] = s.troubles[0]
		}
		for i, cell := range row {
			if cell == "" {
				row[i] = "–"
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(row, " | "))
	}
	return b.String()
}
