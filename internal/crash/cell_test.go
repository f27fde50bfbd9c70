//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

const (
	cellReporters = 3   // each with a topic of its own
	sessionWindow = 100 // messages on their way to a local session, by default
)

// way is how the messages of a cell go. The tap is always between the gateway and the
// mosquitto that has the faults; no other link is touched, but by the end of one of the
// two.
type way string

const (
	out   way = "out"   // local publishers, the gateway, mosquitto, a subscriber there
	in    way = "in"    // publishers at mosquitto, the gateway, a local persistent session
	relay way = "relay" // publishers at mosquitto, the gateway, another mosquitto, a subscriber there
)

// cell is one cell of the matrix: messages of one QoS go one way through the gateway,
// while one kind of fault happens again and again.
type cell struct {
	t     *testing.T
	qos   byte
	way   way
	fault fault
	rng   *rand.Rand
	at    []course // what the fault strikes at; nil: any packet of the link

	broker     *mosquitto.Broker
	tap        *tap
	front      *tap // between local publishers and the gateway, if there are some
	gateway    *gateway
	ledger     *ledger
	subscriber *subscriber
	reporters  []*reporter

	storms      []storm
	kills, cuts int   // of the gateway, and all others
	dialed      int   // links that the gateway had asked for before the fault
	greeted     int   // and that it had got
	current     fault // that strikes, where it is drawn
	kill        bool  // the gateway is dead besides
}

// storm is a part of a topic in which messages at QoS 0 may be lost: from the first
// one that had not arrived when the fault struck, up to the first one to arrive of
// those that were published when it was over.
type storm struct{ topic, from, to int }

func (c *cell) name() string { return fmt.Sprintf("QoS %d %s, %s", c.qos, c.way, c.fault.name) }

// set starts everything. The controls put rewrite into the tap, and through between
// the local publishers and the gateway.
func (c *cell) set(t *testing.T, seed uint64, rewrite func(bool, []byte) (onward, answer []byte), through func(*gateway) func(context.Context) (string, error)) {
	t.Helper()
	c.t, c.rng, c.ledger = t, rand.New(rand.NewPCG(seed, 0)), newLedger(cellReporters)
	c.broker = c.mosquitto()
	c.tap = newTap(t, steadily(c.broker.Addr()))
	c.tap.rewrite = rewrite
	far := c.broker
	if c.way == relay {
		far = c.mosquitto()
	}
	c.gateway = gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml", c.config(far)))
	c.gateway.start()
	from, to := c.gateway.target, subscription{target: steadily(far.Addr()), qos: c.qos}
	switch {
	case through != nil:
		from = through(c.gateway)
	case c.way == out:
		c.front = newTap(t, from)
		from = steadily(c.front.addr())
	}
	if c.way != out {
		from = steadily(c.broker.Addr())
		await(t, &c.tap.changed, "the gateway to subscribe", func() bool { return c.tap.met(course{false, subackType}) > 0 })
	}
	if c.way == in {
		to = subscription{target: c.gateway.target, qos: c.qos, strict: true}
	}
	c.subscriber = subscribeAt(t, c.ledger, to)
	c.reporters = reports(t, c.ledger, c.qos, cellReporters, seed, from)
	c.publish(1)
	c.arrive() // so that all are there
}

// mosquitto is one that forgets nothing when it ends in good order.
func (c *cell) mosquitto() *mosquitto.Broker {
	return mosquitto.Start(c.t, mosquitto.WithConfig(
		"persistence true", "persistence_location "+c.t.TempDir()+"/", "autosave_interval 0",
		"max_queued_messages 0", "queue_qos0_messages true"))
}

// config is the gateway's; far is where it relays to.
func (c *cell) config(far *mosquitto.Broker) string {
	text := "data_dir: data\nmqtt: {listen: 127.0.0.1:0}\nhttp: {listen: 127.0.0.1:0}\nconnections:\n"
	// What the process has written outlives it, synced or not (S3.3).
	policies := []string{"always", "20ms", "never"}
	text += fmt.Sprintf("  %s:\n    broker: mqtt://%s\n    window: %d\n    sync: %s\n",
		connectionName, c.tap.addr(), gatewayWindow, policies[c.rng.IntN(len(policies))])
	if c.fault.silent {
		text += "    keep_alive: 2s\n"
	}
	if c.way != out {
		text += fmt.Sprintf("    forward: []\n    persist: {incoming: true}\n    subscribe: [{topic: \"#\", qos: %d}]\n", c.qos)
	}
	if c.way == relay {
		text += fmt.Sprintf("  far:\n    broker: mqtt://%s\n    window: %d\n    forward: [{topic: \"#\", relay: true}]\n", far.Addr(), gatewayWindow)
	}
	return text
}

// run lets it happen that often, while so many messages are published, at least.
func (c *cell) run(messages, faults int) {
	c.t.Helper()
	parts := faults * cellReporters
	share := max((messages+parts-1)/parts, 5)
	for range faults {
		c.suffer(share)
	}
	c.settle()
}

// suffer is one fault: it strikes in the middle of so many messages of each reporter.
func (c *cell) suffer(messages int) {
	c.t.Helper()
	before, meanwhile := messages*3/5, messages/5
	goOn := c.reach(before)
	from := c.ledger.reached()
	c.fault.strike(c)
	goOn()
	c.publish(meanwhile)
	c.fault.mend(c)
	over := c.ledger.begun()
	c.publish(messages - before - meanwhile)
	c.await("a message of each to arrive that was published afterwards", func() bool {
		for topic, n := range c.ledger.reached() {
			if n <= over[topic] {
				return false
			}
		}
		return true
	})
	for topic := range c.reporters {
		c.storms = append(c.storms, storm{topic, from[topic], c.ledger.firstFrom(topic, over[topic])})
	}
}

// reach publishes so many messages of each reporter, and returns at the moment at which
// a fault is to strike: a packet is on its way, and held back until goOn is called. If
// that is on its way between a publisher and the gateway it is lost with the gateway.
func (c *cell) reach(messages int) (goOn func()) {
	c.t.Helper()
	tap, courses, kills := c.tap, c.courses(), c.kills
	if c.front != nil && c.rng.IntN(2) == 0 {
		tap = c.front
	}
	s := tap.holdAt(courses[c.rng.IntN(len(courses))], c.rng.IntN(messages*cellReporters))
	c.publish(messages)
	select {
	case <-s.hit:
	case <-time.After(patience):
		c.t.Fatalf("SEED=%d: there are too few packets %+v\n%s", run.seed, s.course, c.state())
	}
	if c.rng.IntN(2) == 0 {
		moment(odd(c.rng, 5*time.Millisecond)) // what goes the other way goes on
	}
	return func() {
		if tap == c.front && c.kills > kills {
			tap.cut()
		}
		close(s.on)
	}
}

// courses are the packets that a message makes on the link to the broker, or those of
// them that the fault strikes at.
func (c *cell) courses() []course {
	if c.at != nil {
		return c.at
	}
	kinds := [][]byte{{publishType}, {publishType, pubackType}, {publishType, pubrecType, pubrelType &^ 0x0f, pubcompType}}[c.qos]
	var list []course
	for i, kind := range kinds {
		list = append(list, course{(c.way == out) == (i%2 == 0), kind})
	}
	return list
}

// publish lets each reporter publish n more messages.
func (c *cell) publish(n int) {
	for _, r := range c.reporters {
		r.more(n)
	}
}

// settle waits until everything that was published is where it belongs, and nothing
// is on its way any more.
func (c *cell) settle() {
	c.t.Helper()
	c.arrive()
	c.idle()
	// What was sent before arrives before it, repetitions included.
	c.publish(1)
	c.arrive()
	c.idle()
}

// idle waits until the gateway has nothing left that it would have to pass on.
func (c *cell) idle() {
	c.t.Helper()
	poll(c.t, 5*time.Millisecond, "the gateway to have nothing left", func() bool {
		all, err := c.gateway.running.statuses()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, s := range all {
			if s.Outgoing.Pending > 0 || s.Incoming.Pending > 0 {
				return false
			}
		}
		return true
	})
}

// arrive waits until the last message of each reporter is acknowledged and has
// arrived.
func (c *cell) arrive() {
	c.t.Helper()
	c.await("the last messages", func() bool {
		for _, r := range c.reporters {
			if !r.finished() {
				return false
			}
		}
		begun, reached := c.ledger.begun(), c.ledger.reached() // looked at behind that: now no more is begun
		for topic := range c.reporters {
			if reached[topic] < begun[topic] {
				return false
			}
		}
		return true
	})
}

func (c *cell) await(what string, condition func() bool) {
	c.t.Helper()
	late := time.Now().Add(2 * patience)
	await(c.t, &c.ledger.changed, what, func() bool {
		if complaints := c.ledger.complaints(); complaints != "" || time.Now().After(late) {
			c.t.Fatalf("SEED=%d: waiting for %s: %s%s", run.seed, what, complaints, c.state())
		}
		return condition()
	})
}

// state is what is known when it does not go on.
func (c *cell) state() string {
	return fmt.Sprintf("begun %v, reached %v, %+v\n%s", c.ledger.begun(), c.ledger.reached(), c.gateway.status(), c.gateway.log())
}
