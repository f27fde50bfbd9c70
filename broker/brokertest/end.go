package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// willed is a client with a will on the topic "will".
func (h Harness) willed(t *testing.T) *client {
	o := h.options("willed")
	o.CleanSession = true
	will := message("will", 1, "gone")
	o.Will = &will
	return h.dial(t, o)
}

func closeGraceful(t *testing.T, h Harness) {
	const n = 200
	sub := h.clean(t, "sub")
	sub.subscribe("#", 0)
	c := h.willed(t)
	for i := 1; i <= n; i++ {
		c.publish(i, message("t", types.QoS(i%2), "%d", i))
	}
	c.Close(true)
	c.Close(true) // once is enough
	if err := c.down(); err != nil {
		t.Errorf("Down after Close: %v", err)
	}
	end := h.clean(t, "end")
	end.publish(1, message("end", 1, "end"))
	for i, in := range sub.received(n + 1) {
		want := fmt.Sprint(i + 1)
		if i == n {
			want = "end"
		}
		if string(in.Message.Payload) != want {
			t.Fatalf("message %d: %q on %s, want %q", i, in.Message.Payload, in.Message.Topic, want)
		}
	}
}

func closeAbrupt(t *testing.T, h Harness) {
	sub := h.clean(t, "sub")
	sub.subscribe("#", 0)
	c := h.willed(t)
	c.Close(false)
	if err := c.down(); err != nil {
		t.Errorf("Down after Close: %v", err)
	}
	if in := sub.received(1); in[0].Message.Topic != "will" || string(in[0].Message.Payload) != "gone" {
		t.Errorf("received %+v", in[0])
	}
}

func killed(t *testing.T, h Harness) {
	c := h.clean(t, "client")
	c.publish(1, message("t", 1, "before"))
	c.acks(1)
	h.Kill()
	if err := c.down(); err == nil {
		t.Error("the broker died, and Down has no error")
	}
}

func closed(t *testing.T, h Harness) {
	c := h.clean(t, "client")
	c.Close(false)
	c.down()
	for what, err := range map[string]error{
		"publish":     c.Publish([]broker.Publish{{Message: message("t", 0, "")}}),
		"release":     c.Release([]uint16{1}),
		"acknowledge": c.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: 1}}),
		"subscribe":   c.Subscribe(1, []broker.Filter{{Topic: "t"}}),
		"unsubscribe": c.Unsubscribe(1, []string{"t"}),
	} {
		if !errors.Is(err, types.ErrClosed) {
			t.Errorf("%s after Down: %v", what, err)
		}
	}
	c.Close(true)
	c.Close(false)
}

func frozen(t *testing.T, h Harness) {
	c := h.clean(t, "client")
	h.Freeze()
	defer h.Thaw()
	payload := make([]byte, 1<<20)
	for i := 1; i <= 32; i++ { // more than the buffers between us take
		c.must(c.Publish([]broker.Publish{{ID: uint16(i), Message: types.Message{Topic: "t", Payload: payload, QoS: 1}}}))
	}
	c.must(c.Release([]uint16{99}))
	c.must(c.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: 1}}))
	c.must(c.Subscribe(50, []broker.Filter{{Topic: "t"}}))
	c.must(c.Unsubscribe(51, []string{"t"}))
	c.Close(true)
	c.Close(false)
	if err := c.down(); err != nil {
		t.Errorf("Down after Close: %v", err)
	}
}

func concurrent(t *testing.T, h Harness) {
	const workers, each = 8, 200
	sub, c := h.clean(t, "sub"), h.clean(t, "client")
	sub.subscribe("t/+", 0)
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			for i := range each {
				id := w*each + i + 1
				err := c.Publish([]broker.Publish{{ID: uint16(id), Tag: uint64(id), Message: message(fmt.Sprintf("t/%d", w), 1, "%d", i)}})
				if err == nil && i%20 == 0 {
					id := uint16(60000 + w*each + i)
					err = errors.Join(
						c.Subscribe(id, []broker.Filter{{Topic: fmt.Sprintf("other/%d", id)}}),
						c.Release([]uint16{uint16(30000 + id%1000)}),
						c.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: id}}))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	c.acks(workers * each)
	next := make(map[string]int)
	for _, in := range sub.received(workers * each) {
		if want := fmt.Sprint(next[in.Message.Topic]); string(in.Message.Payload) != want {
			t.Fatalf("%s: %q, want %q", in.Message.Topic, in.Message.Payload, want)
		}
		next[in.Message.Topic]++
	}
	for range 4 {
		done.Go(func() { c.Close(true) })
		done.Go(func() { c.Publish([]broker.Publish{{Message: message("t/late", 0, "")}}) })
	}
	done.Wait()
	c.down()
}
