package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// parting is the part of a connection that ends a link in good order: nothing
// new is sent, what is in flight may be acknowledged and recorded, the broker
// gets the close message and a DISCONNECT.
type parting struct {
	leaving bool    // the link is to end
	closing bool    // it was told to
	request *Finish // who waits for that
	stopDue func()  // stops the timer
	due     uint64  // number of the timer that counts
}

const (
	// leaveTime is how long what is in flight may take where nobody said so.
	leaveTime = 10 * time.Second

	// closeTime is how long a link may take to say goodbye.
	closeTime = time.Second
)

// finish ends the connection.
func (c *connection) finish(m Finish) {
	c.answerFinish(nil) // an earlier one
	c.ended = true
	c.request = &m
	c.leave(m.Within)
}

// pause ends the link until resume.
func (c *connection) pause() {
	if c.ended || c.paused {
		return
	}
	c.paused = true
	c.leave(leaveTime)
}

// resume undoes pause.
func (c *connection) resume() {
	if c.ended || !c.paused {
		return
	}
	c.paused = false
	if !c.leaving { // else the next link comes after that
		c.dial()
	}
}

// leave ends the link within about that time, or the attempt to get one at once.
// What follows is left's to decide.
func (c *connection) leave(within time.Duration) {
	switch {
	case c.link == nil:
		c.hangUp(false)
		c.left()
	case !c.closing:
		c.leaving = true
		c.forgetFetched()
		c.wakeLeaving(within)
	}
}

func (c *connection) wakeLeaving(after time.Duration) {
	if c.stopDue != nil {
		c.stopDue()
	}
	c.due++
	due := leaveDue{c.due}
	c.stopDue = c.config.Clock.AfterFunc(max(after, 0), func() { c.self.Tell(due) })
}

// tryLeave closes the link once nothing is in flight.
func (c *connection) tryLeave() {
	if c.window.used == 0 {
		c.closeLink()
	}
}

func (c *connection) closeLink() {
	if c.closing {
		return
	}
	c.closing = true
	c.wakeLeaving(closeTime)
	c.announce(c.config.Close, closeID)
	c.link.Close(true) // Down follows
}

// leaveDue is told when the time is over: for what is in flight, then for the
// link to close.
func (c *connection) leaveDue(m leaveDue) {
	switch {
	case m.number != c.due || !c.leaving || c.link == nil:
	case !c.closing:
		c.closeLink()
	default:
		c.hangUp(false)
		c.left()
	}
}

// left goes on when there is no link any more because we did not want it.
func (c *connection) left() {
	switch {
	case c.ended:
		c.answerFinish(nil)
		c.become(types.Offline, nil)
	case c.paused:
		c.become(types.Paused, nil)
	default:
		c.dial()
	}
}

// stay ends what leave began; the link is gone.
func (c *connection) stay() {
	c.leaving, c.closing = false, false
	c.due++
	if c.stopDue != nil {
		c.stopDue()
		c.stopDue = nil
	}
}

// answerFinish says how many messages are left in flight.
func (c *connection) answerFinish(err error) {
	if m := c.request; m != nil {
		c.request = nil
		m.Reply.answer(int(c.handle.inFlight.Load()), err)
	}
}
