//go:build unix

package crash

import "time"

// fault is something that goes wrong between the gateway and its broker, or with one
// of them. strike leaves it wrong, and mend puts it right: what is published in
// between is published meanwhile.
type fault struct {
	name         string
	strike, mend func(*cell)
	silent       bool // the gateway has to find out by keep_alive
}

// faults are the columns of the matrix.
func faults() []fault {
	return []fault{
		{name: "kill -9 gateway", strike: (*cell).killGateway, mend: (*cell).startGateway},
		{name: "cut TCP", strike: (*cell).cutLink, mend: (*cell).cutAgain},
		{name: "half-open", strike: (*cell).swallowLink, mend: (*cell).awaitLink, silent: true},
		{name: "SIGSTOP broker", strike: (*cell).freezeBroker, mend: (*cell).thawBroker, silent: true},
		{name: "broker restart", strike: (*cell).stopBroker, mend: (*cell).startBroker},
		{name: "any, and a kill", strike: (*cell).strikeAny, mend: (*cell).mendAny, silent: true},
	}
}

// strikeAny is one of the others, drawn, with a kill on top now and then.
func (c *cell) strikeAny() {
	all := faults()
	c.current = all[c.rng.IntN(len(all)-1)]
	c.current.strike(c)
	if c.kill = c.gateway.running != nil && c.rng.IntN(3) == 0; c.kill {
		moment(odd(c.rng, 10*time.Millisecond))
		c.killGateway()
	}
}

func (c *cell) mendAny() {
	if c.kill {
		c.startGateway()
	}
	c.current.mend(c)
}

func (c *cell) killGateway() {
	c.gateway.kill()
	c.kills++
}

// startGateway lets it start, now and then not at the first try, and waits until a
// local subscriber is back: at QoS 0 nothing is kept for one who is away.
func (c *cell) startGateway() {
	visits := c.subscriber.visited()
	if c.rng.IntN(4) == 0 {
		p := c.gateway.launch()
		select {
		case <-p.announced:
		case <-time.After(odd(c.rng, 60*time.Millisecond)):
		}
		c.killGateway()
	}
	c.gateway.start()
	if c.way == in {
		c.await("the subscriber to come back", func() bool { return c.subscriber.visited() > visits })
	}
}

func (c *cell) cutLink() {
	c.note()
	c.tap.cut()
	c.cuts++
}

// note notes what links there were, before a fault.
func (c *cell) note() { c.dialed, c.greeted = c.tap.dialed(), c.tap.met(course{false, connackType}) }

// cutAgain cuts every third link again, as soon as there is one.
func (c *cell) cutAgain() {
	if c.rng.IntN(3) == 0 {
		c.awaitLink()
		moment(odd(c.rng, 3*time.Millisecond))
		c.cutLink()
	}
	c.awaitLink()
}

func (c *cell) swallowLink() {
	c.note()
	c.tap.swallow()
	c.cuts++
}

// awaitLink waits until the gateway has another link.
func (c *cell) awaitLink() {
	c.t.Helper()
	c.awaitDial("another link", func() bool { return c.tap.met(course{false, connackType}) > c.greeted })
}

// awaitDial waits for something that comes of an attempt to get another link. That the
// gateway waits longer after each fault is not what is tested here: it is told to
// hurry, as an operator would.
func (c *cell) awaitDial(what string, condition func() bool) {
	c.t.Helper()
	poll(c.t, 5*time.Millisecond, what, func() bool {
		if condition() {
			return true
		}
		if next := c.gateway.status().NextAttempt; next != nil && time.Until(*next) > 200*time.Millisecond {
			c.gateway.post("/pause")
			c.gateway.post("/resume")
		}
		return false
	})
}

func (c *cell) freezeBroker() {
	c.note()
	c.broker.Freeze()
	c.cuts++
}

// thawBroker lets it go on, every other time only when the gateway has given it up.
func (c *cell) thawBroker() {
	if c.cuts%2 == 0 {
		moment(odd(c.rng, 50*time.Millisecond))
		c.broker.Thaw()
		return
	}
	c.awaitDial("another attempt", func() bool { return c.tap.dialed() > c.dialed })
	c.broker.Thaw()
	c.awaitLink()
}

func (c *cell) stopBroker() {
	c.note()
	c.broker.Stop()
	c.cuts++
}

func (c *cell) startBroker() {
	c.broker.Restart()
	c.awaitLink()
}
