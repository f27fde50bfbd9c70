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
	cancel  func() // ends the attempt under way
	waiting bool   // for the next attempt
	stop    func() // stops the timer of that

	link    broker.Link // nil: there is none
	session broker.Session
	early   []broker.Event // told before Dial returned
	asked   []broker.Filter
	up      time.Time // since when there is a link
}

// A link that lived this long makes the next wait a short one again.
const stableLink = 10 * time.Second

// dial begins an attempt. It runs beside the actor, which is told the result.
func (c *connection) dial() {
	c.rest()
	c.attempt++
	ctx, cancel := context.WithTimeout(context.Background(), c.config.DialTimeout)
	c.cancel = cancel
	c.become(types.Connecting, nil)
	go func(attempt uint64, self Ref[ConnectionMessage], config *ConnectionConfig) {
		defer cancel()
		d := dialed{attempt: attempt}
		var o broker.ConnectOptions
		if o, d.err = config.Options(ctx); d.err == nil {
			d.link, d.session, d.err = config.Dialer.Dial(ctx, o, func(e broker.Event) { self.Tell(linkEvent{attempt, e}) })
		}
		self.Tell(d)
	}(c.attempt, c.self, &c.config)
}

// rest ends what was to lead to the next link.
func (c *connection) rest() {
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	if c.stop != nil {
		c.stop()
		c.stop = nil
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
		c.retry(types.Backoff, m.err)
		return
	}
	c.cancel = nil
	c.link, c.session, c.up = m.link, m.session, c.config.Clock.Now()
	c.begin()
	c.become(types.Online, nil)
	c.config.Inbound.Tell(Linked{c.link, c.session.Present})
	c.subscribe()
	early := c.early
	c.early = nil
	for _, e := range early {
		if c.link != nil {
			c.happened(e)
		}
	}
}

// down takes note that the link is gone.
func (c *connection) down(err error) {
	if err == nil {
		err = errors.New("the link was closed")
	}
	c.loseLink()
	switch {
	case c.ended:
		c.answerFinish(nil)
		c.become(types.Offline, nil)
	default:
		c.suspect.lost()
		c.retry(types.Backoff, c.suspect.explain(err, c.config.Name))
	}
}

// hangUp ends the link, or the attempt to get one; what they still tell does
// not count.
func (c *connection) hangUp(graceful bool) {
	c.rest()
	link := c.link
	c.loseLink()
	c.attempt++
	if link != nil {
		link.Close(graceful)
	}
}

// loseLink forgets the link and what it carried.
func (c *connection) loseLink() {
	if c.link != nil && c.config.Clock.Now().Sub(c.up) >= stableLink {
		c.backoff.Reset()
	}
	c.link = nil
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

// stalled gives up a link on which nothing is acknowledged.
func (c *connection) stalled() {
	err := fmt.Errorf("nothing was acknowledged for %v", c.config.StallTimeout)
	c.hangUp(false)
	c.retry(types.Stalled, err)
	c.note(err.Error(), "the broker is connected and silent: look at its load, its disk and its limits")
}
