//go:build linux

package main

import (
	"fmt"
	"slices"
)

// sample is what the rounds gave for one quantity.
type sample []float64

// median is 0 of nothing.
func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// text is the median and, of several rounds, the extremes.
func (s sample) text(format func(float64) string) string {
	if len(s) == 0 {
		return ""
	}
	if len(s) == 1 {
		return format(s[0])
	}
	return fmt.Sprintf("%s (%s–%s)", format(s.median()), format(slices.Min(s)), format(slices.Max(s)))
}

// Formats of quantities.
func rate(v float64) string {
	if v >= 100_000 {
		return fmt.Sprintf("%.0fk/s", v/1000)
	}
	return fmt.Sprintf("%.1fk/s", v/1000)
}

func ratio(v float64) string   { return fmt.Sprintf("%.2f", v) }
func micros(v float64) string  { return fmt.Sprintf("%.1f µs", v) }
func plain(v float64) string   { return fmt.Sprintf("%.1f", v) }
func mib(v float64) string     { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }
func bytes(v float64) string   { return fmt.Sprintf("%.0f B", v) }
func seconds(v float64) string { return fmt.Sprintf("%.2f s", v) }
