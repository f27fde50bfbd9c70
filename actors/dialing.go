package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// dialing is the part of a connection that gets and loses links.
type dialing struct {
	cancel   func() // ends the attempt, or the look at the first broker, that is under way
	waiting  bool   // for the next attempt
	stop     func() // stops the timer of that
	stopLook func() // stops the timer of the next look at the first broker
	stopCalm func() // stops the timer that ends the talk of a fight

	link    broker.Link // nil: there is none
	session broker.Session
	at      int            // index of the broker that it leads to
	client  string         // the client id
	early   []broker.Event // told before Dial returned
	up      time.Time      // since when there is a link
	useful  bool           // a message was acknowledged over it, or came
}

// A link that lived this long makes the next wait a short one again. After one that was
// of use, and did not live so long, the wait is no longer than its life: a network that
// fails every few seconds is used at least half of the time, and one that only lets in
// is left alone for longer and longer.
const stableLink = 10 * time.Second

// dial begins an attempt. It runs beside the actor, which is told the result.
func (c *connection) dial() {
	c.rest()
	c.attempt++
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.become(types.Connecting, nil)
	a := attempt{number: c.attempt, self: c.self, config: &c.config, first: c.returns.next, renew: c.renew}
	c.returns.next = 0
	go func() {
		defer cancel()
		a.self.Tell(dialed{a.number, a.run(ctx)})
	}()
}

// rest ends what was to lead to the next link.
func (c *connection) rest() {
	for _, end := range []*func(){&c.cancel, &c.stop, &c.stopLook, &c.stopCalm} {
		if *end != nil {
			(*end)()
			*end = nil
		}
	}
	c.waiting = false
	c.early = nil
}

// dialed takes the result of an attempt, unless another one was begun since.
func (c *connection) dialed(m dialed) {
	switch {
	case m.attempt != c.attempt || c.link != nil:
		if m.link != nil {
			m.link.Close(false)
		}
		return
	case m.err != nil:
		c.rest()
		c.fight.unreached()
		c.retry(unlinked(m.err), m.err)
		return
	}
	c.cancel = nil
	if m.failed != nil || m.broker != c.at {
		c.fight.unreached()
	}
	c.link, c.session, c.up = m.link, m.session, c.config.Clock.Now()
	c.at, c.client, c.marked = m.broker, m.client, m.marked
	if m.marked {
		c.granted = m.granted
		c.doubt.linked(m.before.all)
	}
	c.handshakes.linked(c.session.Present || c.session.Unsure, m.before.exact)
	c.renew = c.renew && !m.renewed
	if c.apart() {
		c.linkedApart(m.result)
	} else {
		c.settleMissing(m.missing)
	}
	if !c.session.Present {
		c.lose()
	}
	c.begin()
	c.withdraw()
	c.settleOwed()
	c.become(types.Online, nil)
	c.returns.looks = 0
	c.elsewhere(m.failed)
	c.lookLater()
	c.tellFight()
	c.config.Inbound.Tell(Linked{c.link, c.session.Present, c.session.Unsure})
	c.subscribe()
	c.announce(c.config.Birth, birthID)
	early := c.early
	c.early = nil
	for _, e := range early {
		if c.link != nil {
			c.happened(e)
		}
	}
}

// unlinked is the state after an attempt that ended with err: a broker that was there and
// said no, which will be the same next time, is not one that cannot be reached.
func unlinked(err error) types.State {
	var refused *broker.RefusedError
	if errors.As(err, &refused) && refused.Code != broker.ServerUnavailable {
		return types.Refused
	}
	return types.Backoff
}

// redial begins an attempt in place of whatever there is: the network that it was
// begun on may be gone.
func (c *connection) redial() {
	if c.ended || c.paused || c.leaving {
		return
	}
	c.acquit()
	c.hangUp(false)
	c.dial()
}

// tellFight says, as long as that has to be assumed, that somebody else takes our
// session.
func (c *connection) tellFight() {
	left := c.fight.until().Sub(c.config.Clock.Now())
	if left <= 0 {
		return
	}
	c.note("the broker has ended one link after the other", fightHint(c.client))
	over := calm{c.attempt}
	c.stopCalm = c.config.Clock.AfterFunc(left, func() { c.self.Tell(over) })
}

// calm ends the talk of a fight.
func (c *connection) calm(m calm) {
	if m.attempt == c.attempt && c.link != nil && !c.leaving {
		c.become(types.Online, nil)
	}
}

// down takes note that the link is gone.
func (c *connection) down(err error) {
	if err == nil {
		err = errors.New("the link was closed")
	}
	parting := c.leaving
	c.rest()
	c.loseLink()
	if parting {
		c.left()
		return
	}
	state, why := c.judge(err)
	c.fight.lost(c.config.Clock.Now(), err, c.suspect.blamed())
	c.retry(state, c.fight.explain(why, c.client))
}

// hangUp ends the link, or the attempt to get one; what they still tell does
// not count.
func (c *connection) hangUp(graceful bool) {
	c.rest()
	link, closing := c.link, c.closing
	if link != nil && graceful && !closing {
		c.announce(c.config.Close, closeID)
	}
	c.loseLink()
	c.attempt++
	if link != nil {
		link.Close(graceful)
	}
}

// loseLink forgets the link and what it carried.
func (c *connection) loseLink() {
	if c.link != nil {
		switch lasted := c.config.Clock.Now().Sub(c.up); {
		case lasted >= stableLink:
			c.backoff.Reset()
			if c.at == 0 {
				c.returns.moves = 0
			}
		case c.useful && c.fight.until().IsZero():
			c.backoff.Worked(lasted)
		}
	}
	c.link, c.useful = nil, false
	c.stay()
	c.end()
}

// retry waits before the next attempt, in a state that says why.
func (c *connection) retry(state types.State, why error) {
	wait := c.backoff.Next()
	at := c.config.Clock.Now().Add(wait)
	c.waiting = true
	due := attemptDue{c.attempt}
	c.stop = c.config.Clock.AfterFunc(wait, func() { c.self.Tell(due) })
	c.become(state, why)
	c.nextAttempt(at)
	s := c.handle.status.Load()
	about := []any{"error", s.LastError, "again_in", wait.Round(time.Millisecond)}
	if s.Hint != "" {
		about = append(about, "hint", s.Hint)
	}
	c.config.Logger.Info("no link", about...)
}

// stalled gives up a link on which nothing is acknowledged. The next attempt
// begins with another broker, if there is one: this one answers the phone.
func (c *connection) stalled() {
	err := fmt.Errorf("nothing was acknowledged for %v", c.config.StallTimeout)
	next, moves := (c.at+1)%len(c.config.Brokers), c.returns.moves
	c.hangUp(false)
	c.returns = returning{next: next, moves: moves}
	c.retry(types.Stalled, err)
	c.note(err.Error(), "the broker is connected and silent: look at its load, its disk and its limits")
}
