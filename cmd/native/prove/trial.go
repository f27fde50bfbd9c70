//go:build !js

package prove

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// trialTime is how long the broker may take to deliver a message.
const trialTime = 10 * time.Second

// control is a client that publishes at the broker itself.
type control struct {
	dial     dialer
	clientID string
	run      runID
	topic    string
	qos      types.QoS

	changed pulse // a payload of it has come to the subscriber
	mu      sync.Mutex
	came    map[kind]int // the latest number, and one
	lowest  types.QoS    // that one of them came with
	marks   int          // published
}

// delivered is told what the subscriber has got of it.
func (c *control) delivered(k kind, number int, qos types.QoS) {
	c.mu.Lock()
	if c.came == nil {
		c.came, c.lowest = make(map[kind]int), qos
	}
	c.came[k], c.lowest = max(c.came[k], number+1), min(c.lowest, qos)
	c.mu.Unlock()
	c.changed.tell()
}

func (c *control) has(k kind, number int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came[k] > number
}

// pass publishes a mark and returns when the subscriber s has it: whatever was
// published at the broker before it has come.
func (c *control) pass(ctx context.Context, s *listening) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("a message that was published at the broker, to mark the end, did not arrive within %v", patience))
	defer cancel()
	number := c.marks
	c.marks++
	if err := c.publish(ctx, mark, number); err != nil {
		return err
	}
	return c.await(ctx, mark, number, s)
}

func (c *control) await(ctx context.Context, k kind, number int, s *listening) error {
	for {
		changed := c.changed.next()
		if c.has(k, number) {
			return nil
		}
		select {
		case <-changed:
		case err := <-s.ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// publish publishes one payload on a link of its own.
func (c *control) publish(ctx context.Context, k kind, number int) error {
	l, err := c.dial.connect(ctx, c.clientID, true)
	if err != nil {
		return err
	}
	defer l.leave(ctx)
	p := broker.Publish{ID: 1, Message: types.Message{Topic: c.topic, QoS: c.qos, Payload: payload(c.run, k, number)}}
	if c.qos == 0 {
		p.ID = 0
		return l.Publish([]broker.Publish{p})
	}
	return l.publish(ctx, p)
}

// end ends the session that the broker has of a client [MQTT-3.1.2-6].
func (c *control) end(ctx context.Context, clientID string) error {
	l, err := c.dial.connect(ctx, clientID, true)
	if err != nil {
		return err
	}
	l.leave(ctx)
	return nil
}

// downgraded says whether something came with a lower QoS than it was published
// with.
func (c *control) downgraded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lowest < c.qos
}

// try finds out whether the broker delivers to the subscriber s what others publish
// there: an error says what it does instead.
func (c *control) try(ctx context.Context, s *listening) error {
	ctx, cancel := context.WithTimeoutCause(ctx, trialTime, errSilent)
	defer cancel()
	err := c.publish(ctx, trial, 0)
	acked := err == nil
	if acked {
		err = c.await(ctx, trial, 0, s)
	}
	switch {
	case s.losses.Load() > 0:
		return unfit("the broker ended the link of the subscriber when another client connected. It may take the two for one: " +
			"does it make the client id of the username (mosquitto: use_username_as_clientid), or allow one link for each user?")
	case err == nil && c.downgraded():
		return unfit("the broker delivered with a lower QoS what was published with QoS %v: try a lower --qos", c.qos)
	case err == nil:
		return nil
	case errors.Is(err, errLinkDown):
		return unfit("the broker ended the link when a message was published with QoS %v to %s: either it takes no QoS %v (try a lower --qos), or this user may not publish there (allow that, or choose other topics by --topic)", c.qos, c.topic, c.qos)
	case errors.Is(err, errSilent) && acked:
		return unfit("the broker took a message with QoS %v for %s and did not deliver it to the subscriber within %v: this user may not publish there, or not read it (allow that, or choose other topics by --topic)", c.qos, c.topic, trialTime)
	case errors.Is(err, errSilent):
		return unfit("the broker did not acknowledge a message with QoS %v for %s within %v", c.qos, c.topic, trialTime)
	}
	return fmt.Errorf("try the broker: %w", err)
}

// through publishes at the broker until something has come to s, which is behind a
// gateway that has yet to subscribe.
func (c *control) through(ctx context.Context, s *listening) error {
	late, cancel := context.WithTimeoutCause(ctx, trialTime, errSilent)
	defer cancel()
	for number := 1; ; number++ {
		if err := c.publish(late, trial, number); err != nil {
			return err
		}
		soon, cancel := context.WithTimeoutCause(late, retryTime, errSilent)
		changed := c.changed.next()
		if c.has(trial, 1) {
			cancel()
			return nil
		}
		var err error
		select {
		case <-changed:
		case <-soon.Done():
		case err = <-s.ended:
		}
		cancel()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case late.Err() != nil:
			return fmt.Errorf("nothing of what was published to %s came through the gateway within %v: may its client id subscribe there?", c.topic, trialTime)
		}
	}
}

var errSilent = errors.New("no answer")
