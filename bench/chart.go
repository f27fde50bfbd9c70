//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// A chart has a bar for each contender in two panels, on scales from one message
// per second to a million.
const (
	chartName, chartPanel, chartGap = 300, 260, 70 // widths
	chartBar, chartTop              = 26, 74       // heights
	chartDecades                    = 6
)

// chart draws what contenders store and send, as SVG.
func (c *comparison) chart(m machine) string {
	shown := c.running()
	left := [2]int{chartName, chartName + chartPanel + chartGap}
	lost := left[1] + chartPanel + chartGap
	width, height := lost+150, chartTop+len(shown)*chartBar+58
	var b strings.Builder
	text := func(x, y int, attributes, s string) {
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" %s>%s</text>\n", x, y, attributes, html.EscapeString(s))
	}
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>messages per second, stored and sent, and what kill -9 loses</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height)
	const bold = `font-weight="bold"`
	text(left[0], 24, bold, "stored, messages/s")
	text(left[0], 40, `fill="#666"`, paces[2].String())
	text(left[1], 24, bold, "sent, messages/s")
	text(left[1], 40, `fill="#666"`, fmt.Sprintf("backlog of %d", c.backlogs[1]))
	text(lost, 24, bold, "lost by kill -9")
	text(lost, 40, `fill="#666"`, "of those acknowledged")
	bottom := chartTop + len(shown)*chartBar
	for _, x := range left {
		for d := range chartDecades + 1 {
			at := x + d*chartPanel/chartDecades
			fmt.Fprintf(&b, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#ddd\"/>\n", at, chartTop-8, at, bottom)
			text(at, chartTop-13, `fill="#666" font-size="10" text-anchor="middle"`, []string{"1", "10", "100", "1k", "10k", "100k", "1M"}[d])
		}
	}
	for i, s := range shown {
		y := chartTop + i*chartBar
		weight := ""
		if s.ours {
			weight = bold
		}
		text(chartName-8, y+15, weight+` text-anchor="end"`, s.what)
		for k, rate := range []float64{s.paces[2].rate.median(), s.backlogs[1].rate} {
			color := "#b9c4cf"
			if s.ours {
				color = "#0b6e4f"
			}
			dash := ""
			if k == 0 && !s.synced {
				dash = ` fill-opacity="0.35" stroke="` + color + `" stroke-dasharray="3 2"`
			}
			length, label := bar(rate), "–"
			if rate > 0 {
				label = strings.TrimSuffix(perSecond(rate), "/s")
			}
			fmt.Fprintf(&b, "<rect class=\"bar\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"%s/>\n", left[k], y, length, chartBar-7, color, dash)
			text(left[k]+length+5, y+14, weight, label)
		}
		text(lost, y+15, weight, s.lossText())
	}
	text(12, bottom+26, `fill="#666" font-size="11"`, "Pale and dashed: acknowledged before it is synced to disk. Scales are logarithmic. 200-byte messages, QoS 1, to mosquitto with a checking subscriber.")
	text(12, bottom+42, `fill="#666" font-size="11"`, fmt.Sprintf("Commit %s; %d cores of %s; %s.", m.commit, m.cores, m.cpu, strings.Join(m.versions, "; ")))
	b.WriteString("</svg>\n")
	return b.String()
}

// bar is how long the bar of a rate is.
func bar(rate float64) int {
	if rate <= 1 {
		return 0
	}
	return int(math.Round(min(math.Log10(rate), chartDecades) * chartPanel / chartDecades))
}

// lossText sums up what the crashes of a contender lost.
func (s *standing) lossText() string {
	lost, of, late := 0, 0, false
	for _, k := range s.crashes {
		lost, of, late = lost+k.lost, of+k.stored, late || k.late && k.lost > 0
	}
	if g := s.backlogs[2]; g.arrived > 0 && !g.late {
		lost, of = lost+g.lost, of+g.stored
	}
	switch {
	case of == 0:
		return "–"
	case lost == 0:
		return "none"
	case late:
		return fmt.Sprintf("%d of %d late", lost, of)
	}
	return fmt.Sprintf("%d of %d", lost, of)
}
