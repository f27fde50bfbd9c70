package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

const (
	// longestLook is how far apart the looks at a first broker come to be that is
	// away for long; longestStay, at one that links do not last to.
	longestLook = time.Minute
	longestStay = 10 * time.Minute
)

// returning is how a connection gets back to the first of its brokers.
type returning struct {
	next  int // index of the broker that the next attempt begins with
	looks int // at the first broker in vain, over the present link
	moves int // back to the first broker, since a link to it lasted
}

// wait is how long to wait before the next look; r is from [0, 1). It is spread,
// so that many clients do not come back at the same moment.
func (b *returning) wait(every time.Duration, r float64) time.Duration {
	bound := min(every<<min(b.looks, 10), max(longestLook, every))
	bound = max(bound, min(every<<min(b.moves, 10), max(longestStay, every)))
	return bound/2 + time.Duration(r*float64(bound/2))
}

// lookLater sees to it that the first broker is looked at, if it is not the one
// that we are linked to.
func (c *connection) lookLater() {
	if c.at == 0 {
		return
	}
	due := lookDue{c.attempt}
	c.stopLook = c.config.Clock.AfterFunc(c.returns.wait(c.config.FailBack, c.config.Backoff.Random()), func() { c.self.Tell(due) })
}

func (c *connection) lookDue(m lookDue) {
	if m.attempt != c.attempt || c.link == nil || c.leaving {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	a := attempt{number: c.attempt, self: c.self, config: &c.config}
	go func() {
		defer cancel()
		a.self.Tell(looked{a.number, a.look(ctx, a.config.Brokers[0])})
	}()
}

// looked goes back to the first broker if it is there. What is in flight is
// finished before, so that nothing is sent twice.
func (c *connection) looked(m looked) {
	if m.attempt != c.attempt || c.link == nil || c.leaving {
		return
	}
	c.cancel = nil
	if m.err != nil {
		c.returns.looks++
		c.elsewhere(m.err)
		c.lookLater()
		return
	}
	c.config.Logger.Info("the first broker is there again: going back to it", "broker", c.config.Brokers[0].Name)
	c.returns.moves++
	c.become(types.Online, nil)
	c.leave(leaveTime)
}

// elsewhere says that we are linked to another broker than the first, and why.
func (c *connection) elsewhere(why error) {
	if why != nil {
		c.note(fmt.Sprintf("linked to another broker than the first, %s: %v", c.config.Brokers[0].Name, why),
			"nothing to do: the first is gone back to when it can be reached")
	}
}

// trying shows which broker is being dialed.
func (c *connection) trying(m trying) {
	if m.attempt != c.attempt || c.link != nil {
		return
	}
	s := *c.handle.status.Load()
	if s.State == types.Connecting {
		s.Broker = c.config.Brokers[m.broker].Name
		c.publishStatus(s)
	}
}
