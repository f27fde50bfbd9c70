package brokertest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// patience is how long something may take before the test fails.
const patience = 20 * time.Second

// client is a link with everything that it told.
type client struct {
	broker.Link
	t       testing.TB
	session broker.Session
	inside  atomic.Int32

	mu      sync.Mutex
	changed chan struct{}
	events  []broker.Event
	wrong   string // the first thing that the contract forbids
}

// options are those of a lasting session.
func (h Harness) options(id string) broker.ConnectOptions {
	return broker.ConnectOptions{
		ClientID:  id,
		Username:  h.Username,
		Password:  h.Password,
		KeepAlive: time.Minute,
		Protocol:  broker.MQTT311,
		MaxPacket: 1 << 20,
	}
}

// dial connects a client, which is checked when the test ends.
func (h Harness) dial(t testing.TB, o broker.ConnectOptions) *client {
	t.Helper()
	c := &client{t: t, changed: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	link, session, err := h.Dialer.Dial(ctx, o, c.event)
	if err != nil {
		t.Fatalf("dial as %q: %v", o.ClientID, err)
	}
	c.Link, c.session = link, session
	t.Cleanup(func() {
		link.Close(false)
		c.down()
		c.check()
	})
	return c
}

// clean connects a client with a session that ends with the link.
func (h Harness) clean(t testing.TB, id string) *client {
	t.Helper()
	o := h.options(id)
	o.CleanSession = true
	return h.dial(t, o)
}

func (c *client) event(e broker.Event) {
	alone := c.inside.Add(1) == 1
	defer c.inside.Add(-1)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !alone:
		c.note("two goroutines told events at once")
	case len(c.events) > 0 && isDown(c.events[len(c.events)-1]):
		c.note(fmt.Sprintf("%T was told after Down", e))
	}
	c.events = append(c.events, e)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *client) note(wrong string) {
	if c.wrong == "" {
		c.wrong = wrong
	}
}

// check fails the test if the link broke the contract.
func (c *client) check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong != "" {
		c.t.Error(c.wrong)
	}
}

func isDown(e broker.Event) bool {
	_, down := e.(broker.Down)
	return down
}

// until waits until the events so far satisfy enough.
func (c *client) until(what string, enough func(events []broker.Event) bool) {
	c.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.mu.Lock()
		ok, changed := enough(c.events), c.changed
		over := len(c.events) > 0 && isDown(c.events[len(c.events)-1])
		last := fmt.Sprintf("%d events, the last is %s", len(c.events), describe(c.events))
		c.mu.Unlock()
		if ok {
			return
		}
		if over {
			c.t.Fatalf("the link is down before %s: %s", what, last)
		}
		select {
		case <-changed:
		case <-limit.C:
			c.t.Fatalf("no %s after %v: %s", what, patience, last)
		}
	}
}

func describe(events []broker.Event) string {
	if len(events) == 0 {
		return "none"
	}
	s := fmt.Sprintf("%#v", events[len(events)-1])
	return s[:min(len(s), 300)]
}

// down waits for Down and returns its error.
func (c *client) down() error {
	c.t.Helper()
	c.until("Down", func(events []broker.Event) bool {
		return len(events) > 0 && isDown(events[len(events)-1])
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[len(c.events)-1].(broker.Down).Err
}

// acks waits for n acknowledgements and returns all that came.
func (c *client) acks(n int) []broker.Ack {
	c.t.Helper()
	var acks []broker.Ack
	c.until(fmt.Sprintf("acknowledgement %d", n), func(events []broker.Event) bool {
		acks = nil
		for _, e := range events {
			if a, ok := e.(broker.Acked); ok {
				acks = append(acks, a.Acks...)
			}
		}
		return len(acks) >= n
	})
	return acks
}

// received waits for n inbound packets and returns all that came.
func (c *client) received(n int) []broker.Inbound {
	c.t.Helper()
	var in []broker.Inbound
	c.until(fmt.Sprintf("inbound packet %d", n), func(events []broker.Event) bool {
		in = nil
		for _, e := range events {
			if r, ok := e.(broker.Received); ok {
				in = append(in, r.Packets...)
			}
		}
		return len(in) >= n
	})
	return in
}

// written waits until a tag was written.
func (c *client) written(tag uint64) {
	c.t.Helper()
	c.until(fmt.Sprintf("Written{%d}", tag), func(events []broker.Event) bool {
		for _, e := range events {
			if w, ok := e.(broker.Written); ok && w.Tag >= tag {
				return true
			}
		}
		return false
	})
}

// subscribe asks for one filter and waits until it was granted.
func (c *client) subscribe(filter string, qos types.QoS) {
	c.t.Helper()
	const id = 65000
	c.must(c.Subscribe(id, []broker.Filter{{Topic: filter, QoS: qos}}))
	c.until("SUBACK", func(events []broker.Event) bool {
		for _, e := range events {
			if s, ok := e.(broker.Subscribed); ok && s.ID == id {
				return len(s.Codes) == 1 && s.Codes[0] == byte(qos)
			}
		}
		return false
	})
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// publish hands over messages with ids and tags from first on.
func (c *client) publish(first int, messages ...types.Message) {
	c.t.Helper()
	p := make([]broker.Publish, len(messages))
	for i, m := range messages {
		p[i] = broker.Publish{Tag: uint64(first + i), Message: m}
		if m.QoS > 0 {
			p[i].ID = uint16(first + i)
		}
	}
	c.must(c.Publish(p))
}

// message is a short message.
func message(topic string, qos types.QoS, format string, args ...any) types.Message {
	return types.Message{Topic: topic, QoS: qos, Payload: fmt.Appendf(nil, format, args...)}
}
