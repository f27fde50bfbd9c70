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

// control is a client that publishes at the broker itself, past the gateway.
type control struct {
	dial     dialer
	clientID string
	run      runID
	topic    string
	qos      types.QoS

	changed pulse // a payload of it has come to the subscriber
	mu      sync.Mutex
	came    map[kind]int // the latest number, and one
	marks   int          // published
}

// delivered is told what the subscriber has got of it.
func (c *control) delivered(k kind, number int) {
	c.mu.Lock()
	if c.came == nil {
		c.came = make(map[kind]int)
	}
	c.came[k] = max(c.came[k], number+1)
	c.mu.Unlock()
	c.changed.tell()
}

func (c *control) has(k kind, number int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came[k] > number
}

// pass publishes a mark and returns when the subscriber has it: whatever was
// delivered before it at the broker has come. failed has the error that the
// subscriber ended with.
func (c *control) pass(ctx context.Context, failed <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("a message that was published past the gateway did not arrive within %v", patience))
	defer cancel()
	number := c.marks
	c.marks++
	if err := c.publish(ctx, mark, number); err != nil {
		return err
	}
	return c.await(ctx, mark, number, failed)
}

func (c *control) await(ctx context.Context, k kind, number int, failed <-chan error) error {
	for {
		changed := c.changed.next()
		if c.has(k, number) {
			return nil
		}
		select {
		case <-changed:
		case err := <-failed:
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

// try finds out whether the broker delivers to the subscriber s, which has joined
// and runs, what others publish there: an error says what it does instead. failed
// has the error that s ended with.
func (c *control) try(ctx context.Context, s *subscriber, failed <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, trialTime, errSilent)
	defer cancel()
	err := c.publish(ctx, trial, 0)
	acked := err == nil
	if acked {
		err = c.await(ctx, trial, 0, failed)
	}
	switch {
	case s.losses.Load() > 0:
		return unfit("the broker ended the link of the subscriber when another client connected. It may take the two for one: " +
			"does it make the client id of the username (mosquitto: use_username_as_clientid), or allow one link for each user?")
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

var errSilent = errors.New("no answer")
