package actors

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	ms := time.Millisecond
	tests := []struct {
		name       string
		first, max time.Duration
		random     float64
		want       []time.Duration
	}{
		{"doubles up to the largest", 100 * ms, time.Second, 0.5, []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms}},
		{"full jitter: from nothing", 100 * ms, time.Second, 0, []time.Duration{0, 0, 0}},
		{"one bound", time.Second, time.Second, 0.25, []time.Duration{250 * ms, 250 * ms}},
		{"the first is larger than the largest", time.Minute, time.Second, 0.5, []time.Duration{500 * ms, 500 * ms}},
		{"defaults", 0, 0, 0.5, []time.Duration{500 * ms, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := Backoff{First: test.first, Max: test.max, Random: func() float64 { return test.random }}
			for round := range 2 {
				for i, want := range test.want {
					if got := b.Next(); got != want {
						t.Errorf("round %d: wait %d is %v, want %v", round, i, got, want)
					}
				}
				b.Reset()
			}
		})
	}
}

// A link that is cut every eight seconds, and was of use, is there at least half of the
// time; one that is cut at once is not tried more often than each second.
func TestBackoffAfterSomethingOfUse(t *testing.T) {
	for _, test := range []struct {
		lasted, want time.Duration // the bound
	}{
		{8 * time.Second, 8 * time.Second},
		{5 * time.Second, 4 * time.Second},
		{time.Millisecond, time.Second},
		{time.Hour, time.Minute},
	} {
		b := Backoff{Random: func() float64 { return 1 }}
		for range 20 {
			b.Next()
		}
		for range 3 { // it does not creep up
			b.Worked(test.lasted)
			if got := b.Next(); got != test.want {
				t.Errorf("after %v: %v, want %v", test.lasted, got, test.want)
			}
		}
	}
}

func TestBackoffForEver(t *testing.T) {
	b := Backoff{First: time.Nanosecond, Max: 1 << 62, Random: func() float64 { return 0.99 }}
	for range 10_000 {
		if d := b.Next(); d < 0 || d > 1<<62 {
			t.Fatalf("wait of %v", d)
		}
	}
}

func TestRestartWait(t *testing.T) {
	r := restart{first: 10 * time.Millisecond, max: 5 * time.Second}
	for earlier, want := range map[int]time.Duration{0: 10 * time.Millisecond, 1: 20 * time.Millisecond, 8: 2560 * time.Millisecond, 9: 5 * time.Second, 1000: 5 * time.Second} {
		if got := r.wait(earlier); got != want {
			t.Errorf("wait(%d) = %v, want %v", earlier, got, want)
		}
	}
}
