//go:build linux

package main

import (
	"errors"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// ordered is what a client of a swarm publishes by order: messages that check
// themselves.
type ordered struct {
	next  uint64
	sent  []time.Time // of the last window messages
	times protocol.Latencies
}

// hand makes the next message in p's body.
func (o *ordered) hand(p *publisher) {
	protocol.Fill(p.body[:], p.number, o.next)
	o.next++
	o.sent[p.sent%p.window] = time.Now()
}

// stored takes note of an acknowledgement: they come in order.
func (o *ordered) stored(p *publisher) { o.times.Add(time.Since(o.sent[p.acked%p.window])) }

// publishOrder lets clients of the broker at addr carry out an order to enqueue.
// Where acknowledgements stop coming, Stored is less than what was handed over.
func publishOrder(addr string, o protocol.Order) (a protocol.Answer, err error) {
	s := swarm{members: make(map[int]*member), open: o.Producers, patience: 10 * time.Second}
	if s.epoll, err = syscall.EpollCreate1(0); err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	given, began := 0, time.Time{}
	more := func() bool {
		if o.Messages > 0 && given == o.Messages || o.Seconds > 0 && time.Since(began).Seconds() >= o.Seconds {
			return false
		}
		given++
		return true
	}
	work := make([]ordered, o.Producers)
	for i := range work {
		if o.First != nil {
			work[i].next = o.First[i]
		}
		work[i].sent = make([]time.Time, o.Window)
		p := publisher{number: i, topic: protocol.Topic(i), window: o.Window, more: more, order: &work[i]}
		if err := s.join(addr, p); err != nil {
			return a, err
		}
	}
	began = time.Now()
	err = s.run()
	a.Seconds = time.Since(began).Seconds()
	var times protocol.Latencies
	for _, m := range s.members {
		a.Stored += m.acked
	}
	for i := range work {
		a.Next = append(a.Next, work[i].next)
		times = append(times, work[i].times...)
	}
	a.P50, a.P99 = times.At(0.5), times.At(0.99)
	if errors.Is(err, errSilent) {
		err = nil
	}
	return a, err
}
