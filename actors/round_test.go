package actors

import (
	"testing"
	"time"
)

func TestRoundWaits(t *testing.T) {
	const sync = 16 * time.Millisecond
	clock := newTestClock()
	tests := []struct {
		name     string
		expected int
		took     time.Duration
		later    time.Duration
		requests int
		want     time.Duration
	}{
		{"alone", 1, sync, 0, 1, 0},
		{"others are on their way", 8, sync, 0, 3, sync / 4},
		{"some of them are there", 8, sync, time.Millisecond, 7, sync/4 - time.Millisecond},
		{"all are there", 8, sync, 0, 8, 0},
		{"they stay away", 8, sync, sync / 4, 3, 0},
		{"never long", 8, time.Hour, 0, 3, mostPatience},
		{"a sync that costs nothing", 8, 0, 0, 3, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r round
			r.over(test.expected, test.took, clock)
			clock.advance(test.later)
			if got := r.wait(test.requests, clock); got != test.want {
				t.Errorf("wait = %v, want %v", got, test.want)
			}
		})
	}
}

// Whoever is waited for in vain is waited for less; whoever comes, more.
func TestRoundLearns(t *testing.T) {
	const sync = 64 * time.Millisecond / 10
	clock := newTestClock()
	var r round
	patience := func() time.Duration {
		r.over(8, sync, clock)
		return r.wait(1, clock)
	}
	for _, want := range []time.Duration{sync / 4, sync / 8, sync / 16, sync / 32, sync / 64, sync / 64} {
		if got := patience(); got != want {
			t.Fatalf("wait = %v, want %v", got, want)
		}
		clock.advance(sync)
		if got := r.wait(1, clock); got != 0 {
			t.Fatalf("wait = %v when it was over", got)
		}
	}
	for _, want := range []time.Duration{sync / 64, sync / 32, sync / 16, sync / 8, sync / 4, sync / 4} {
		if got := patience(); got != want {
			t.Fatalf("wait = %v, want %v", got, want)
		}
		if got := r.wait(8, clock); got != 0 {
			t.Fatalf("wait = %v when all were there", got)
		}
	}
}

func TestRoundHurries(t *testing.T) {
	tests := []struct {
		name     string
		expected int
		took     time.Duration
		requests int
		want     bool
	}{
		{"many, and a quick disk", 256, 250 * time.Microsecond, 128, true},
		{"too few of them", 256, 250 * time.Microsecond, 10, false},
		{"none", 1, 0, 0, false},
		{"many, and a slow disk: they are back soon", 256, 20 * time.Millisecond, 128, false},
		{"few, who are back soon", 8, 250 * time.Microsecond, 4, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := round{expected: test.expected, took: test.took}
			if got := r.hurry(test.requests); got != test.want {
				t.Errorf("hurry = %v, want %v", got, test.want)
			}
		})
	}
}
