package actors

import "time"

// Backoff is the wait before dialing again: it is drawn between nothing and a
// bound that doubles with each failure, so that many clients of one broker do
// not come back at the same moment ("full jitter").
type Backoff struct {
	First, Max time.Duration // bound after the first failure, and the largest one; 1 s and 1 min if 0

	// Random returns a number in [0, 1).
	Random func() float64

	failures int
}

// Next is how long to wait after one more failure.
func (b *Backoff) Next() time.Duration {
	bound := b.bound()
	b.failures++
	return time.Duration(float64(bound) * b.Random())
}

func (b *Backoff) bound() time.Duration {
	first, most := b.First, b.Max
	if first <= 0 {
		first = time.Second
	}
	if most <= 0 {
		most = time.Minute
	}
	for range b.failures {
		if first >= most/2 {
			return most
		}
		first *= 2
	}
	return min(first, most)
}

// Worked is for something that was of use for so long: the next bound is not larger
// than that, but for the first.
func (b *Backoff) Worked(lasted time.Duration) {
	for b.failures > 0 && b.bound() > lasted {
		b.failures--
	}
}

// Reset is for when it worked.
func (b *Backoff) Reset() { b.failures = 0 }
