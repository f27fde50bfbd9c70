package actors

import (
	"testing"
	"time"
)

func TestLooksAtTheFirstBroker(t *testing.T) {
	const every = 10 * time.Second
	tests := []struct {
		name         string
		looks, moves int
		random       float64
		want         time.Duration
	}{
		{"first", 0, 0, 0, 5 * time.Second},
		{"first, late", 0, 0, 0.999999, 10 * time.Second},
		{"in vain", 1, 0, 0.999999, 20 * time.Second},
		{"in vain for long", 1000, 0, 0.999999, time.Minute},
		{"it did not last", 0, 1, 0.999999, 20 * time.Second},
		{"it never lasts", 3, 1000, 0.999999, 10 * time.Minute},
		{"it never lasts, early", 3, 1000, 0, 5 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := returning{looks: test.looks, moves: test.moves}
			if got := r.wait(every, test.random).Round(time.Millisecond); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
