package bridge

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/mqttdb/mqttdb/types"
)

// What one commit takes of a page's messages, at most.
const (
	batchMessages = 1024
	batchBytes    = 1 << 20
)

// page is one that uses the Engine. What it publishes is stored in its order.
type page struct {
	engine  *Engine
	name    string
	context context.Context // ends when it leaves
	cancel  context.CancelFunc

	mu            sync.Mutex
	inbox         []record
	arrived       chan struct{} // holds one while there may be something in inbox
	subscriptions map[uint32]*subscription
}

func newPage(e *Engine, name string) *page {
	p := &page{engine: e, name: name, arrived: make(chan struct{}, 1), subscriptions: make(map[uint32]*subscription)}
	p.context, p.cancel = context.WithCancel(e.context)
	return p
}

// take puts a request into the inbox.
func (p *page) take(r record) {
	p.mu.Lock()
	p.inbox = append(p.inbox, r)
	p.mu.Unlock()
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// run does what the page asks for, until it leaves. What it has published before that is
// stored.
func (p *page) run() {
	defer p.cancel()
	for {
		left := p.context.Err() != nil
		p.mu.Lock()
		list := p.inbox
		p.inbox = nil
		p.mu.Unlock()
		for len(list) > 0 {
			if list[0].kind == publishKind {
				list = p.publish(list)
				continue
			}
			if !left {
				p.do(list[0])
			}
			list = list[1:]
		}
		if left {
			return
		}
		select {
		case <-p.arrived:
		case <-p.context.Done():
		}
	}
}

// do does what is no publishing.
func (p *page) do(r record) {
	switch r.kind {
	case callKind:
		p.call(r)
	case settleKind:
		id, number, a, err := readSettle(r.body)
		if s := p.subscription(id); err == nil && s != nil {
			s.settle(number, a)
		}
	case moreKind:
		id, count, err := readMore(r.body)
		if s := p.subscription(id); err == nil && s != nil {
			s.grant(count)
		}
	}
}

func (p *page) subscription(id uint32) *subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.subscriptions[id]
}

// publish stores the messages that list begins with, in one commit as far as that may
// be, and returns what is left of it.
func (p *page) publish(list []record) (rest []record) {
	var numbers []uint32
	var ids []uint64
	var messages []types.Message
	var out []byte
	bytes := 0
	for len(list) > 0 && list[0].kind == publishKind && len(messages) < batchMessages && bytes < batchBytes {
		r := list[0]
		list = list[1:]
		id, m, err := readPublish(r.body)
		if err == nil {
			err = m.Check(p.engine.runtime.MaxMessageSize())
		}
		if err != nil {
			out = appendError(out, r.number, err)
			continue
		}
		numbers, ids, messages = append(numbers, r.number), append(ids, id), append(messages, m)
		bytes += m.Size()
	}
	// Not with the context of the page: what a page has said before it left is stored.
	seqs, err := p.engine.conn.PublishOnce(p.engine.context, p.source(), ids, messages)
	for i, n := range numbers {
		if err != nil {
			out = appendError(out, n, err)
		} else {
			out = appendStored(out, n, seqs[i])
		}
	}
	p.say(out)
	return list
}

// source is what the page's messages are known by.
func (p *page) source() string { return "page/" + p.name }

// say sends a frame, unless it is empty.
func (p *page) say(frame []byte) {
	if len(frame) > 0 {
		p.engine.send(p.name, frame)
	}
}

// result answers a call.
func (p *page) result(number uint32, value any, err error) {
	if err == nil {
		var body []byte
		if body, err = json.Marshal(value); err == nil {
			p.say(appendRecord(nil, resultKind, number, body))
			return
		}
	}
	p.say(appendError(nil, number, err))
}
