//go:build linux

package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBar(t *testing.T) {
	for _, test := range []struct {
		rate float64
		want int
	}{{0, 0}, {0.5, 0}, {1, 0}, {1000, chartPanel / 2}, {1e6, chartPanel}, {1e9, chartPanel}} {
		if got := bar(test.rate); got != test.want {
			t.Errorf("the bar of %v/s is %d wide, not %d", test.rate, got, test.want)
		}
	}
}

// A chart has two bars for each contender that ran, as long as its rates say.
func TestChart(t *testing.T) {
	runs := starter{start: func(context.Context, string, string) (product, error) { return nil, nil }}
	c := &comparison{plan: plan{backlogs: [3]int{1, 1000, 10_000}}, standings: []*standing{
		{contender: contender{what: "ours & good", ours: true, synced: true}, starter: runs,
			paces: [3]paced{2: {rate: sample{100_000}}}, backlogs: [3]backlog{1: {rate: 10_000}}, crashes: []crash{{stored: 10}}},
		{contender: contender{what: "<other>"}, starter: runs, paces: [3]paced{2: {rate: sample{1000}}}, crashes: []crash{{stored: 10, lost: 7}}},
		{contender: contender{what: "could not run"}},
	}}
	var widths []string
	texts := map[string]int{}
	decoder := xml.NewDecoder(strings.NewReader(c.chart(machine{})))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts[string(token)]++
		case xml.StartElement:
			if token.Name.Local == "rect" && token.Attr[0].Value == "bar" {
				widths = append(widths, token.Attr[3].Value)
			}
		}
	}
	want := []string{strconv.Itoa(bar(100_000)), strconv.Itoa(bar(10_000)), strconv.Itoa(bar(1000)), "0"}
	if strings.Join(widths, " ") != strings.Join(want, " ") {
		t.Errorf("bars of %v, not %v", widths, want)
	}
	for text, n := range map[string]int{"ours & good": 1, "<other>": 1, "could not run": 0, "none": 1, "7 of 10": 1} {
		if texts[text] != n {
			t.Errorf("%q is there %d times, not %d", text, texts[text], n)
		}
	}
}

// The names of contenders have room at the left of the bars, in fonts whose letters
// are wide.
func TestChartNames(t *testing.T) {
	const letter = 7.2 // of 12 pixels, on average
	for _, c := range contenders {
		if width := letter * float64(utf8.RuneCountInString(c.what)); width > chartName-8 {
			t.Errorf("%q is %.0f wide, there is room for %d", c.what, width, chartName-8)
		}
	}
}
