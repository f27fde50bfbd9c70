package actors

import (
	"time"

	"golang.org/x/time/rate"
)

// Rate bounds what a connection sends per second; 0: no bound.
type Rate struct {
	Messages int
	Bytes    int64
}

// burstTime is the time whose share may be sent at once after a pause. It makes
// up for timers that come late.
const burstTime = 25 * time.Millisecond

// pace says when the next message may be sent. A message goes when what those
// before it cost has been earned, so that one may cost more than any burst.
type pace struct {
	limits []limit
	ready  time.Time // when the next message may go
}

// limit is a rate of something.
type limit struct {
	*rate.Limiter
	bytes bool // else messages
}

func newPace(r Rate) pace {
	var p pace
	add := func(perSecond float64, bytes bool) {
		if perSecond > 0 {
			burst := max(1, int(perSecond*burstTime.Seconds()))
			p.limits = append(p.limits, limit{rate.NewLimiter(rate.Limit(perSecond), burst), bytes})
		}
	}
	add(float64(r.Messages), false)
	add(float64(r.Bytes), true)
	return p
}

// limited says whether there is any limit.
func (p *pace) limited() bool { return len(p.limits) > 0 }

// wait says how long the next message has to wait.
func (p *pace) wait(now time.Time) time.Duration { return max(0, p.ready.Sub(now)) }

// spend takes note that a message of so many bytes is sent.
func (p *pace) spend(now time.Time, size int) {
	for _, l := range p.limits {
		n := 1
		if l.bytes {
			n = size
		}
		for n > 0 { // a reservation is for no more than the burst
			part := min(n, l.Burst())
			n -= part
			if at := now.Add(l.ReserveN(now, part).DelayFrom(now)); at.After(p.ready) {
				p.ready = at
			}
		}
	}
}

// keepPace says whether the next message has to wait, and sees to it that it is
// sent then.
func (c *connection) keepPace() bool {
	wait := c.pace.wait(c.config.Clock.Now())
	if wait == 0 {
		return false
	}
	if c.paced == nil {
		c.paced = c.config.Clock.AfterFunc(wait, func() { c.self.Tell(paceDue{}) })
	}
	return true
}

// setRate changes the rate from now on.
func (c *connection) setRate(m SetRate) {
	c.config.Rate = m.Rate
	c.pace = newPace(m.Rate)
	if c.paced != nil {
		c.paced()
		c.paced = nil
	}
}
