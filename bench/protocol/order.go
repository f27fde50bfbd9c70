package protocol

import (
	"slices"
	"time"
)

// Order is what a driver is told.
type Order struct {
	Do string `json:"do"` // open, enqueue, pending, close

	// The rest is of an enqueue. Each of Producers keeps up to Window messages
	// whose storing is not acknowledged yet, until Seconds are over or, if Messages
	// is above 0, until that many were handed over by all of them. All that was
	// handed over is stored when the answer comes. First is the number with which
	// each producer begins, nil: 0.
	Producers int      `json:"producers,omitempty"`
	Window    int      `json:"window,omitempty"`
	Seconds   float64  `json:"seconds,omitempty"`
	Messages  int      `json:"messages,omitempty"`
	First     []uint64 `json:"first"`
}

// Answer is what a driver says. What an order does not ask for is absent.
type Answer struct {
	OK      bool     `json:"ok,omitempty"`
	Error   string   `json:"error,omitempty"`
	Pending *int     `json:"pending,omitempty"` // -1: it cannot tell
	Stored  int      `json:"stored,omitempty"`
	Seconds float64  `json:"seconds,omitempty"` // from the order to the last acknowledgement
	Next    []uint64 `json:"next,omitempty"`    // the number with which each producer goes on
	P50     float64  `json:"p50_us,omitempty"`  // µs from handing a message over to its acknowledgement
	P99     float64  `json:"p99_us,omitempty"`
}

// Latencies are times in µs, of which the first million is kept.
type Latencies []float32

// Add notes another one.
func (l *Latencies) Add(d time.Duration) {
	if len(*l) < 1_000_000 {
		*l = append(*l, float32(d.Nanoseconds())/1000)
	}
}

// At is the time that so large a part of them, from 0 to 1, does not exceed; 0 if
// there are none. It puts them in order.
func (l Latencies) At(part float64) float64 {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return float64(l[min(int(part*float64(len(l))), len(l)-1)])
}
