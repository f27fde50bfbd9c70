package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Call is what a page asks for, with the fields that belong to its Op:
//
//	status                              → [types.Status]
//	delivered {seq}                     → null, when the broker has it
//	clear {queue, topic, older_than_ms} → {cleared}
//	pause, resume, redial               → null
//	drain {timeout_ms}                  → null, when all is sent
//	subscribe {subscription, filters, qos, name, window, ack_wait_ms}
//	                                    → null, when it is there
//	leave {subscription}                → null
//	unsubscribe {subscription}          → null, when it is gone for good
type Call struct {
	Op string `json:"op"`

	Seq       types.Seq       `json:"seq"` // 0: of a repeat, which has none
	Queue     types.QueueName `json:"queue"`
	Topic     string          `json:"topic"`
	OlderThan int64           `json:"older_than_ms"`
	Timeout   int64           `json:"timeout_ms"` // 0: none

	Subscription uint32   `json:"subscription"` // a number that the page has drawn
	Filters      []string `json:"filters"`
	QoS          *int     `json:"qos"`
	Name         string   `json:"name"`
	Window       int      `json:"window"`
	AckWait      int64    `json:"ack_wait_ms"`
}

// call answers a call: at once, or, where that may take a while, later.
func (p *page) call(r record) {
	var c Call
	if err := json.Unmarshal(r.body, &c); err != nil {
		p.result(r.number, nil, fmt.Errorf("%w: %w", errFrame, err))
		return
	}
	conn := p.engine.conn
	switch c.Op {
	case "status":
		p.result(r.number, p.engine.runtime.Status(), nil)
	case "pause":
		p.result(r.number, nil, conn.Pause())
	case "resume":
		p.result(r.number, nil, conn.Resume())
	case "redial":
		p.result(r.number, nil, conn.Redial())
	case "delivered":
		p.later(r, c, func(ctx context.Context) (any, error) {
			if c.Seq == 0 {
				return nil, conn.DeliveredSoFar(ctx)
			}
			return nil, conn.Delivered(ctx, c.Seq)
		})
	case "clear":
		p.later(r, c, func(ctx context.Context) (any, error) {
			which := types.Selection{Queue: c.Queue, Filter: c.Topic}
			if c.OlderThan > 0 {
				which.Before = time.Now().Add(-time.Duration(c.OlderThan) * time.Millisecond)
			}
			n, err := conn.Clear(ctx, which)
			return map[string]uint64{"cleared": n}, err
		})
	case "drain":
		p.later(r, c, func(ctx context.Context) (any, error) { return nil, conn.Drain(ctx) })
	case "subscribe":
		p.subscribe(r.number, c)
	case "leave":
		p.leave(c.Subscription)
		p.result(r.number, nil, nil)
	case "unsubscribe":
		s := p.leave(c.Subscription)
		p.later(r, c, func(ctx context.Context) (any, error) {
			if s == nil || s.options.Name == "" {
				return nil, nil
			}
			_, err := conn.RemoveConsumer(ctx, s.options.Name)
			return nil, err
		})
	default:
		p.result(r.number, nil, fmt.Errorf("%w: no call %q", errFrame, c.Op))
	}
}

// later answers a call when do returns; others go on meanwhile.
func (p *page) later(r record, c Call, do func(context.Context) (any, error)) {
	p.engine.work.Go(func() {
		ctx, cancel := p.context, context.CancelFunc(func() {})
		if c.Timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(c.Timeout)*time.Millisecond)
		}
		defer cancel()
		value, err := do(ctx)
		p.result(r.number, value, err)
	})
}
