package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// subscription is one of a page. It gets no more deliveries than the page has asked
// for.
type subscription struct {
	page    *page
	id      uint32
	options runtime.SubscribeOptions
	context context.Context // ends with it
	cancel  context.CancelFunc

	mu      sync.Mutex
	credit  uint32        // deliveries that the page takes
	granted chan struct{} // holds one while credit may have grown
	last    uint32        // number of the latest delivery
	open    map[uint32]*runtime.Delivery
}

// subscribe starts a subscription. One that has a name waits while another page has it.
func (p *page) subscribe(number uint32, c Call) {
	o := runtime.SubscribeOptions{Name: c.Name, Filters: c.Filters, Window: c.Window, AckWait: time.Duration(c.AckWait) * time.Millisecond}
	if c.QoS != nil {
		if *c.QoS < 0 || *c.QoS > 2 {
			p.result(number, nil, fmt.Errorf("%w: QoS %d (0, 1 or 2 is allowed)", types.ErrInvalidMessage, *c.QoS))
			return
		}
		o.QoS = config.QoS0 + config.QoS(*c.QoS)
	}
	s := &subscription{page: p, id: c.Subscription, options: o, granted: make(chan struct{}, 1), open: make(map[uint32]*runtime.Delivery)}
	s.context, s.cancel = context.WithCancel(p.context)
	p.mu.Lock()
	_, taken := p.subscriptions[c.Subscription]
	if !taken {
		p.subscriptions[c.Subscription] = s
	}
	p.mu.Unlock()
	if taken {
		s.cancel()
		p.result(number, nil, fmt.Errorf("%w: subscription %d is there", errFrame, c.Subscription))
		return
	}
	p.engine.work.Go(func() { s.run(number) })
}

// leave ends a subscription; nil: there is none of that number.
func (p *page) leave(id uint32) *subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.subscriptions[id]
	if s != nil {
		delete(p.subscriptions, id)
		s.cancel()
	}
	return s
}

// run brings messages to the page until it, or the subscription, ends.
func (s *subscription) run(number uint32) {
	defer s.cancel()
	if s.options.Name != "" {
		lines := &s.page.engine.lines
		if err := lines.enter(s.context, s.options.Name); err != nil {
			s.page.result(number, nil, err)
			return
		}
		defer lines.leave(s.options.Name)
	}
	from, err := s.page.engine.conn.Subscribe(s.context, s.options)
	if err != nil {
		s.page.leave(s.id)
		s.page.result(number, nil, err)
		return
	}
	defer from.Close()
	s.page.result(number, nil, nil)
	for s.waitForCredit() {
		d, err := from.Next(s.context)
		if err != nil {
			s.ended(err)
			return
		}
		s.deliver(d)
	}
}

// waitForCredit returns when the page takes one more; false when s has ended.
func (s *subscription) waitForCredit() bool {
	for {
		s.mu.Lock()
		if s.credit > 0 {
			s.credit--
			s.mu.Unlock()
			return true
		}
		s.mu.Unlock()
		select {
		case <-s.granted:
		case <-s.context.Done():
			return false
		}
	}
}

// grant says that the page takes so many more.
func (s *subscription) grant(count uint32) {
	s.mu.Lock()
	s.credit += count
	s.mu.Unlock()
	select {
	case s.granted <- struct{}{}:
	default:
	}
}

func (s *subscription) deliver(from *runtime.Delivery) {
	s.mu.Lock()
	s.last++
	d := delivery{
		subscription: s.id, number: s.last, seq: from.Seq, accepted: from.Accepted,
		attempt: uint32(from.Attempt), redelivered: from.Redelivered, message: from.Message,
	}
	if s.options.Name != "" { // the others need no answer
		s.open[s.last] = from
	}
	s.mu.Unlock()
	s.page.say(d.append(nil))
}

// settle says what became of a delivery. One that is told again, or by a page that the
// messages of an earlier Worker came to, is not known here, and comes again.
func (s *subscription) settle(number uint32, a answer) {
	s.mu.Lock()
	d := s.open[number]
	delete(s.open, number)
	s.mu.Unlock()
	switch {
	case d == nil:
	case a == acked:
		_ = d.Ack() // what the page has left is delivered to the next one
	case a == again:
		_ = d.Nak(0)
	default:
		s.page.engine.work.Go(func() { _ = d.Term(s.context, "the page will not take it") })
	}
}

// ended tells the page that nothing more comes.
func (s *subscription) ended(err error) {
	if s.page.leave(s.id) == nil && errors.Is(err, context.Canceled) {
		return // the page has ended it
	}
	s.page.say(appendRecord(nil, endedKind, s.id, FailureOf(err).json()))
}

// lines are those who want named subscriptions, of which one has it at a time. Their
// order is the order in which they came, as good as that of a channel.
type lines struct {
	mu   sync.Mutex
	here map[string]*line
}

// line is where those stand who want one name.
type line struct {
	turn    chan struct{} // holds one while nobody has it
	waiting int           // or have it
}

func (l *lines) init() { l.here = make(map[string]*line) }

// enter returns when it is the caller's turn, who must leave then; or the error of ctx.
func (l *lines) enter(ctx context.Context, name string) error {
	l.mu.Lock()
	at := l.here[name]
	if at == nil {
		at = &line{turn: make(chan struct{}, 1)}
		at.turn <- struct{}{}
		l.here[name] = at
	}
	at.waiting++
	l.mu.Unlock()
	select {
	case <-at.turn:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		l.forget(name, at)
		return ctx.Err()
	}
}

// leave lets the next one in.
func (l *lines) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.here[name]
	at.turn <- struct{}{}
	l.forget(name, at)
}

// forget removes a line that nobody stands in any more; mu is held.
func (l *lines) forget(name string, at *line) {
	if at.waiting--; at.waiting == 0 {
		delete(l.here, name)
	}
}
