package loopback_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/types"
)

// client is a link with what it told.
type client struct {
	broker.Link
	present bool
	mu      sync.Mutex
	events  []broker.Event
}

func (c *client) event(e broker.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

// told is all that the link had to tell; it needs a bubble.
func (c *client) told() []broker.Event {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events
}

func dial(t *testing.T, b *loopback.Broker, id string) *client {
	t.Helper()
	c := &client{}
	link, session, err := b.Dial(t.Context(), broker.ConnectOptions{ClientID: id, Protocol: broker.MQTT311}, c.event)
	if err != nil {
		t.Fatal(err)
	}
	c.Link, c.present = link, session.Present
	return c
}

func (c *client) publish(qos types.QoS, ids ...uint16) error {
	var p []broker.Publish
	for _, id := range ids {
		p = append(p, broker.Publish{ID: id, Message: types.Message{Topic: "t", QoS: qos, Payload: fmt.Append(nil, id)}})
	}
	return c.Publish(p)
}

// acks are the ids that were acknowledged so far.
func (c *client) acks() (ids []uint16) {
	for _, e := range c.told() {
		if a, ok := e.(broker.Acked); ok {
			for _, a := range a.Acks {
				ids = append(ids, a.ID)
			}
		}
	}
	return ids
}

// down is whether the link has ended, and why.
func (c *client) down() (bool, error) {
	told := c.told()
	if len(told) == 0 {
		return false, nil
	}
	d, ok := told[len(told)-1].(broker.Down)
	return ok, d.Err
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loopback.New(1)
		b.Delay(time.Second)
		c := dial(t, b, "c")
		c.publish(1, 1)
		time.Sleep(999 * time.Millisecond)
		if got := c.acks(); len(got) != 0 {
			t.Errorf("acknowledged too early: %v", got)
		}
		time.Sleep(2 * time.Millisecond)
		if got := c.acks(); len(got) != 1 {
			t.Errorf("acknowledged %v", got)
		}
	})
}

func TestDownAndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loopback.New(1)
		c := dial(t, b, "c")
		c.publish(2, 1)
		b.Down()
		if down, err := c.down(); !down || err == nil {
			t.Errorf("down %v: %v", down, err)
		}
		_, _, err := b.Dial(t.Context(), broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311}, nil)
		if err == nil || broker.Hint(err) == "" {
			t.Errorf("dial: %v", err)
		}
		b.Up()
		if !dial(t, b, "c").present {
			t.Error("the session did not survive")
		}
		b.Cut()
		b.Forget()
		if dial(t, b, "c").present {
			t.Error("the session was not forgotten")
		}
	})
}

func TestRefuse(t *testing.T) {
	b := loopback.New(1)
	b.Refuse(broker.ServerUnavailable)
	_, _, err := b.Dial(t.Context(), broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311}, nil)
	var refused *broker.RefusedError
	if !errors.As(err, &refused) || refused.Code != broker.ServerUnavailable {
		t.Errorf("dial: %v", err)
	}
}

func TestWithhold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loopback.New(1)
		b.Withhold(true)
		c := dial(t, b, "c")
		c.publish(1, 1, 2)
		c.publish(2, 3)
		if got := c.acks(); len(got) != 0 || len(b.Published()) != 3 {
			t.Errorf("%d published, acknowledged %v", len(b.Published()), got)
		}
		b.Withhold(false)
		if got := c.acks(); !slices.Equal(got, []uint16{1, 2, 3}) {
			t.Errorf("acknowledged %v", got)
		}
	})
}

func TestReorder(t *testing.T) {
	run := func(seed uint64) (ids []uint16) {
		synctest.Test(t, func(t *testing.T) {
			b := loopback.New(seed)
			b.Reorder(true)
			c := dial(t, b, "c")
			c.publish(1, 1, 2, 3, 4, 5, 6, 7, 8)
			ids = c.acks()
		})
		return ids
	}
	first := run(1)
	if slices.IsSorted(first) || len(first) != 8 {
		t.Errorf("acknowledged %v", first)
	}
	if again := run(1); !slices.Equal(first, again) {
		t.Errorf("the same seed gave %v and %v", first, again)
	}
}

func TestDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loopback.New(1)
		b.Duplicate(1)
		c := dial(t, b, "c")
		c.Subscribe(1, []broker.Filter{{Topic: "t", QoS: 1}})
		b.Publish(types.Message{Topic: "t", QoS: 1})
		told := c.told()
		r := told[len(told)-1].(broker.Received)
		if len(r.Packets) != 2 || r.Packets[0].Dup || !r.Packets[1].Dup || r.Packets[0].ID != r.Packets[1].ID {
			t.Errorf("%+v", r)
		}
	})
}

// The same seed cuts at the same place with the same answers; over all seeds
// each outcome comes: the last packet seen or not, all answers or some.
func TestCutAfter(t *testing.T) {
	run := func(seed uint64) (published, acked int, wasDown bool) {
		synctest.Test(t, func(t *testing.T) {
			b := loopback.New(seed)
			b.CutAfter(5)
			c := dial(t, b, "c")
			c.publish(1, 1, 2)
			c.publish(1, 3, 4, 5, 6, 7)
			acked = len(c.acks())
			published = len(b.Published())
			wasDown, _ = c.down()
		})
		return published, acked, wasDown
	}
	outcomes := make(map[string]bool)
	for seed := range uint64(50) {
		published, acked, down := run(seed)
		if !down || published < 4 || published > 5 || acked < 2 || acked > published {
			t.Fatalf("seed %d: down %v, %d published, %d acknowledged", seed, down, published, acked)
		}
		if p, a, _ := run(seed); p != published || a != acked {
			t.Fatalf("seed %d is not repeatable", seed)
		}
		outcomes[fmt.Sprint(published, acked)] = true
	}
	if len(outcomes) != 7 { // 4 published: 2 to 4 acknowledged; 5: 2 to 5
		t.Errorf("%d outcomes: %v", len(outcomes), outcomes)
	}
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loopback.New(1)
		c := dial(t, b, "c")
		c.Subscribe(1, []broker.Filter{{Topic: "#", QoS: 1}})
		for i := range 30 {
			b.Publish(types.Message{Topic: "t", QoS: 1, Payload: fmt.Append(nil, i)})
		}
		received := func() (in []broker.Inbound) {
			for _, e := range c.told() {
				if r, ok := e.(broker.Received); ok {
					in = append(in, r.Packets...)
				}
			}
			return in
		}
		in := received()
		if len(in) != 20 {
			t.Fatalf("%d messages without an acknowledgement", len(in))
		}
		var acks []broker.Ack
		for _, m := range in {
			acks = append(acks, broker.Ack{Kind: broker.PubAck, ID: m.ID})
		}
		c.Acknowledge(acks)
		in = received()
		for i, m := range in {
			if string(m.Message.Payload) != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, m.Message.Payload)
			}
		}
		if len(in) != 30 {
			t.Errorf("%d messages in all", len(in))
		}
	})
}

func TestWaiting(t *testing.T) {
	b := loopback.New(1)
	go b.Publish(types.Message{Topic: "t"})
	if err := b.WaitFor(t.Context(), 1); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.WaitFor(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := b.WaitForClient(ctx, "nobody"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := b.WaitForFilters(ctx, "nobody", 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func ExampleBroker() {
	b := loopback.New(1)
	link, _, err := b.Dial(context.Background(), broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311}, func(broker.Event) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	link.Publish([]broker.Publish{{ID: 1, Message: types.Message{Topic: "sensors/1", QoS: 1, Payload: []byte("21.5")}}})
	b.WaitFor(context.Background(), 1)
	for _, m := range b.Published() {
		fmt.Println(m.Topic, string(m.Payload))
	}
	b.Down()
	fmt.Println(strings.HasSuffix(link.Publish(nil).Error(), "closed"))
	// Output:
	// sensors/1 21.5
	// true
}
