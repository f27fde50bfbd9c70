//go:build linux

package main

import (
	"fmt"
	"strconv"
	"time"
)

// in is the table of what comes in.
func (c *comparison) in() string {
	columns := []string{"an acknowledgement means"}
	for _, p := range paces {
		columns = append(columns, p.String()+": messages/s; p50 / p99")
	}
	columns = append(columns, "syncs per 1,000, at the three paces", "CPU per message in, window 1; 20")
	return c.grid("**In**, while the broker is away", columns, func(s *standing) []string {
		row := []string{s.promises}
		for _, p := range s.paces {
			cell := ""
			if len(p.rate) > 0 {
				cell = p.rate.text(perSecond) + "; " + duration(p.p50.median()) + " / " + duration(p.p99.median())
			}
			row = append(row, cell)
		}
		three := ""
		for i, p := range s.paces {
			if i > 0 {
				three += "; "
			}
			if len(p.flushes) == 0 {
				three += "–"
			} else {
				three += strconv.FormatFloat(p.flushes.median(), 'f', 1, 64)
			}
		}
		cpu := ""
		if len(s.paces[1].cpu) > 0 && len(s.paces[2].cpu) > 0 {
			cpu = duration(s.paces[1].cpu.median()) + "; " + duration(s.paces[2].cpu.median())
		}
		return append(row, three, cpu)
	})
}

// out is the table of what goes out.
func (c *comparison) out() string {
	var columns []string
	for _, n := range c.backlogs {
		columns = append(columns, fmt.Sprintf("drain of %d", n))
	}
	columns = append(columns, "while "+paces[2].String()+" come in", "CPU per message out", "passing through: p50 / p99", fmt.Sprintf("start to first message out, %d pending", c.backlogs[2]))
	return c.grid("**Out**", columns, func(s *standing) []string {
		var row []string
		for i := range s.backlogs {
			row = append(row, s.backlogs[i].drained())
		}
		busy, cpu, first := "", "", ""
		if s.busy > 0 {
			busy = perSecond(s.busy)
		}
		if s.backlogs[1].arrived > 0 {
			cpu = duration(s.backlogs[1].cpu)
		}
		if g := s.backlogs[2]; g.first > 0 {
			first = duration(float64(g.first.Microseconds())) + g.size()
		} else if g.watched > 0 {
			first = g.none()
		}
		return append(row, busy, cpu, spread(s.through), first)
	})
}

// size says how many messages there really were, where they are fewer.
func (g *backlog) size() string {
	if g.stored >= g.wanted {
		return ""
	}
	if g.refused != nil {
		return fmt.Sprintf(" (%d: %v)", g.stored, g.refused)
	}
	return fmt.Sprintf(" (%d: stopped after %v)", g.stored, g.filled.Round(100*time.Millisecond))
}

// none says that nothing came.
func (g *backlog) none() string {
	if g.ended {
		return "none came: its process ended" + g.size()
	}
	return fmt.Sprintf("none came in %v", g.watched) + g.size()
}

// drained says how a backlog left.
func (g *backlog) drained() string {
	switch {
	case g.watched == 0:
		return ""
	case g.arrived == 0:
		return g.none()
	case g.arrived < g.stored:
		text := fmt.Sprintf("%s, %d of %d", perSecond(g.rate), g.arrived, g.stored)
		if g.ended {
			text += ": its process ended"
		}
		return text
	}
	return perSecond(g.rate) + g.size()
}

// holding is the table of what waiting messages take.
func (c *comparison) holding() string {
	columns := []string{"memory with none"}
	for _, n := range c.backlogs[1:] {
		columns = append(columns, fmt.Sprintf("with %d: idle; at most while enqueuing; draining", n))
	}
	columns = append(columns, fmt.Sprintf("disk per message, %d", c.backlogs[1]), fmt.Sprintf("disk per message, %d", c.backlogs[2]))
	return c.grid("**Holding** (resident memory, and blocks on disk)", columns, func(s *standing) []string {
		row := []string{""}
		if s.empty > 0 {
			row[0] = mib(s.empty)
		}
		var disk []string
		for i := range s.backlogs[1:] {
			g := &s.backlogs[i+1]
			if g.idle == 0 {
				row, disk = append(row, g.size()), append(disk, "")
				continue
			}
			draining := "–"
			if g.draining > 0 {
				draining = mib(g.draining)
			}
			row = append(row, mib(g.idle)+"; "+mib(g.enqueuing)+"; "+draining+g.size())
			disk = append(disk, bytes(g.disk))
		}
		return append(row, disk...)
	})
}

// crashes is the table of what kill -9 did.
func (c *comparison) crashes() string {
	return c.grid("**Killed** (kill -9 while messages come): lost of those acknowledged / doubled / reordered / damaged", []string{
		"broker away", "broker there", fmt.Sprintf("idle, %d pending", c.backlogs[2]),
	}, func(s *standing) []string {
		row := []string{"", "", ""}
		for _, k := range s.crashes {
			i := 0
			if k.there {
				i = 1
			}
			lost := fmt.Sprintf("%d of %d", k.lost, k.stored)
			if k.late && k.lost > 0 {
				lost += fmt.Sprintf(" not there after %v", c.settling)
			}
			row[i] = fmt.Sprintf("%s / %d / %d / %d", lost, k.doubled, k.reordered, k.damaged)
		}
		if g := s.backlogs[2]; g.watched > 0 {
			lost := fmt.Sprintf("%d of %d", g.lost, g.stored)
			switch {
			case g.arrived == 0:
				lost = g.none()
			case g.late:
				lost = fmt.Sprintf("%d of %d had come after %v", g.arrived, g.stored, g.watched)
			}
			row[2] = fmt.Sprintf("%s / %d / %d / %d", lost, g.doubled, g.reorder, g.damaged)
		}
		return row
	})
}

// versions is the table of what was measured.
func (c *comparison) versions() string {
	return c.grid("**Versions**", []string{""}, func(s *standing) []string { return []string{s.version} })
}
