package actors

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The rate is kept within 5 %, whatever the messages are like, with timers that
// come up to 2 ms late.
func TestPace(t *testing.T) {
	const span = 20 * time.Second
	mixed := func(r *rand.Rand) int { return 100 + r.IntN(50_000) }
	for _, test := range []struct {
		name string
		rate Rate
		size func(*rand.Rand) int
	}{
		{"slow", Rate{Messages: 5}, mixed},
		{"messages", Rate{Messages: 100}, mixed},
		{"fast", Rate{Messages: 20_000}, mixed},
		{"bytes", Rate{Bytes: 1 << 20}, mixed},
		{"messages larger than a second", Rate{Bytes: 10_000}, func(*rand.Rand) int { return 17_000 }},
		{"small messages", Rate{Bytes: 100_000}, func(*rand.Rand) int { return 20 }},
		{"both, messages count", Rate{Messages: 50, Bytes: 100 << 20}, mixed},
		{"both, bytes count", Rate{Messages: 100_000, Bytes: 1 << 20}, mixed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			p := newPace(test.rate)
			start := time.Unix(1_700_000_000, 0)
			messages, bytes := 0, 0
			for now := start; now.Sub(start) < span; {
				if wait := p.wait(now); wait > 0 {
					now = now.Add(wait + time.Duration(r.Int64N(int64(2*time.Millisecond))))
					continue
				}
				size := test.size(r)
				p.spend(now, size)
				messages, bytes = messages+1, bytes+size
			}
			deviation := func(got, want float64) float64 {
				if want == 0 {
					return math.Inf(-1)
				}
				return got/(want*span.Seconds()) - 1
			}
			if off := max(deviation(float64(messages), float64(test.rate.Messages)), deviation(float64(bytes), float64(test.rate.Bytes))); math.Abs(off) > 0.05 {
				t.Errorf("%d messages, %d bytes: off by %.1f %%", messages, bytes, 100*off)
			}
		})
	}
}

// A pause earns no more than a moment's worth.
func TestPaceAfterAPause(t *testing.T) {
	p := newPace(Rate{Messages: 1000})
	now := time.Unix(1_700_000_000, 0)
	p.spend(now, 1)
	now = now.Add(time.Hour)
	n := 0
	for ; p.wait(now) == 0; n++ {
		p.spend(now, 1)
	}
	if n > 1+int(1000*burstTime.Seconds()) {
		t.Errorf("%d messages at once", n)
	}
}
