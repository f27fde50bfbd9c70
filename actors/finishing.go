package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// finishing is the part of a connection that ends it: nothing new is sent, what
// is in flight may be acknowledged and recorded, the broker gets a DISCONNECT.
type finishing struct {
	request *Finish
	closing bool   // the link was told to close
	timer   func() // stops the timer
}

// closeTime is how long a link may take to say goodbye.
const closeTime = time.Second

func (c *connection) finish(m Finish) {
	c.answerFinish(nil) // an earlier one
	c.ended = true
	c.request = &m
	if c.link == nil {
		c.hangUp(false)
		c.answerFinish(nil)
		c.become(types.Offline, nil)
		return
	}
	c.forgetFetched()
	c.wakeFinish(m.Within)
}

func (c *connection) wakeFinish(after time.Duration) {
	c.timer = c.config.Clock.AfterFunc(max(after, 0), func() { c.self.Tell(finishDue{}) })
}

// tryFinish closes the link once nothing is in flight.
func (c *connection) tryFinish() {
	if c.window.used == 0 {
		c.closeLink()
	}
}

func (c *connection) closeLink() {
	if c.closing {
		return
	}
	c.closing = true
	if c.timer != nil {
		c.timer()
	}
	c.wakeFinish(closeTime)
	c.link.Close(true) // Down follows
}

// finishDue is told when the time is over: for what is in flight, then for the
// link to close.
func (c *connection) finishDue() {
	switch {
	case !c.ended || c.link == nil:
	case !c.closing:
		c.closeLink()
	default:
		c.answerFinish(nil)
		c.hangUp(false)
		c.become(types.Offline, nil)
	}
}

// answerFinish says how many messages are left in flight.
func (c *connection) answerFinish(err error) {
	if c.timer != nil {
		c.timer()
		c.timer = nil
	}
	if m := c.request; m != nil {
		c.request = nil
		m.Reply.answer(int(c.handle.inFlight.Load()), err)
	}
}
