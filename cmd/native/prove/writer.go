//go:build !js

package prove

import (
	"context"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// writer is a local client of the gateway as the specification has one: it gives
// the messages to it in order, several at once, and again on another link if they
// were not acknowledged on the one before.
type writer struct {
	dial     dialer // to the gateway, once it serves
	clientID string
	ledger   *ledger
	qos      types.QoS // 1 or 2
	window   int       // how many may be unacknowledged
	backlog  int       // how many may be on their way to the subscriber

	next    int // never sent before
	flights []flight
}

// flight is a message on its way into the gateway.
type flight struct {
	number   int
	received bool // PUBREC has come
}

// packetID is the packet id of a message.
func packetID(number int) uint16 { return uint16(number%60000 + 1) }

// run returns when the gateway has acknowledged everything, or ctx has ended.
func (w *writer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		done, err := w.session(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// session publishes on one link, until everything is acknowledged or the link
// breaks, as it does when the gateway is killed.
func (w *writer) session(ctx context.Context) (done bool, err error) {
	l, err := w.dial.connect(ctx, w.clientID, false)
	if err != nil {
		return false, nil // it may just have been killed
	}
	defer l.Close(false)
	if w.resume(l) != nil {
		return false, nil
	}
	for {
		changed := w.ledger.changed.next()
		events, down := l.take()
		for _, e := range events {
			if acked, ok := e.(broker.Acked); ok && w.answered(l, acked.Acks) != nil {
				return false, nil
			}
		}
		if down != nil || w.fill(l) != nil {
			return false, nil
		}
		if len(w.flights) == 0 && w.next == len(w.ledger.entries) {
			l.leave(ctx)
			return true, nil
		}
		select {
		case <-l.ready:
		case <-changed: // there may be room
		case <-ctx.Done():
			return false, nil
		}
	}
}

// resume sends again what was not acknowledged.
func (w *writer) resume(l *link) error {
	for _, f := range w.flights {
		var err error
		if f.received {
			err = l.Release([]uint16{packetID(f.number)})
		} else {
			err = w.publish(l, []int{f.number}, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill sends what there is room for.
func (w *writer) fill(l *link) error {
	last := min(len(w.ledger.entries), w.ledger.standing().passed+w.backlog)
	var numbers []int
	for len(w.flights) < w.window && w.next < last {
		numbers = append(numbers, w.next)
		w.flights = append(w.flights, flight{number: w.next})
		w.next++
	}
	return w.publish(l, numbers, false)
}

func (w *writer) publish(l *link, numbers []int, again bool) error {
	var batch []broker.Publish
	for _, n := range numbers {
		w.ledger.given(n)
		batch = append(batch, broker.Publish{ID: packetID(n), Dup: again, Message: types.Message{
			Topic: w.ledger.topic, QoS: w.qos, Payload: payload(w.ledger.run, numbered, n),
		}})
	}
	if len(batch) == 0 {
		return nil
	}
	return l.Publish(batch)
}

// answered takes acknowledgements of the gateway.
func (w *writer) answered(l *link, acks []broker.Ack) error {
	var release []uint16
	for _, a := range acks {
		i := slices.IndexFunc(w.flights, func(f flight) bool { return packetID(f.number) == a.ID })
		if i < 0 {
			continue // of a PUBREL that was sent again
		}
		w.ledger.acknowledged(w.flights[i].number)
		if a.Kind == broker.PubRec {
			w.flights[i].received = true
			release = append(release, a.ID)
			continue
		}
		w.flights = slices.Delete(w.flights, i, i+1)
	}
	if len(release) == 0 {
		return nil
	}
	return l.Release(release)
}
