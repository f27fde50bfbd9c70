//go:build unix

package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// reporter publishes numbered messages at one QoS on a topic of its own, as MQTT
// wants it: its session is kept, and what is open when a connection breaks goes on
// under the same packet id on the next one, with DUP or with PUBREL.
type reporter struct {
	ledger *ledger
	topic  int
	qos    byte
	target func(context.Context) (string, error)
	rng    *rand.Rand
	lastID uint16

	mu     sync.Mutex
	limit  int       // how many messages it may begin
	begun  int       // numbers below that were sent at least once
	open   []*report // of QoS 1 and 2, in order, until PUBACK or PUBCOMP
	wakeUp pulse
}

// report is a message that is not finished.
type report struct {
	publication
	received bool // PUBREC has come
}

// reports starts reporters; they wait for more.
func reports(t testing.TB, l *ledger, qos byte, n int, seed uint64, target func(context.Context) (string, error)) []*reporter {
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	var all []*reporter
	for topic := range n {
		r := &reporter{ledger: l, topic: topic, qos: qos, target: target, rng: rand.New(rand.NewPCG(seed, uint64(topic)))}
		over.Go(func() { r.run(ctx) })
		all = append(all, r)
	}
	t.Cleanup(func() {
		cancel()
		over.Wait()
	})
	return all
}

// more lets it begin n more messages.
func (r *reporter) more(n int) {
	r.mu.Lock()
	r.limit += n
	r.mu.Unlock()
	r.wakeUp.tell()
}

// finished says that all it may publish is, and that nothing is open.
func (r *reporter) finished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun == r.limit && len(r.open) == 0
}

func (r *reporter) run(ctx context.Context) {
	known := false
	for ctx.Err() == nil {
		addr, err := r.target(ctx)
		if err != nil {
			return
		}
		c, present, err := connect(ctx, addr, fmt.Sprintf("reporter-%d", r.topic), r.qos == 0)
		switch refused := refusedError(0); {
		case errors.As(err, &refused):
			r.ledger.fault(fmt.Sprint("reporter ", r.topic), err)
			return
		case err != nil:
			pause(ctx, time.Millisecond)
			continue
		case known && r.qos == 2 && !present:
			r.ledger.fault(fmt.Sprint("reporter ", r.topic), errors.New("its session is forgotten"))
		}
		known = true
		r.session(ctx, c)
		c.Close()
		pause(ctx, time.Millisecond)
	}
}

// session publishes on one connection until it breaks.
func (r *reporter) session(ctx context.Context, c *client) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var writing sync.Mutex // of c.w
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		r.answers(c, &writing)
	}()
	r.publish(ctx, c, &writing)
	cancel()
	c.Close()
	<-done
}

// publish goes on with what is open, and then publishes what it may.
func (r *reporter) publish(ctx context.Context, c *client, writing *sync.Mutex) {
	write := func(b []byte) error {
		writing.Lock()
		defer writing.Unlock()
		_, err := c.w.Write(b)
		return err
	}
	for _, b := range r.again() {
		if write(b) != nil {
			return
		}
	}
	for {
		wakeUp := r.wakeUp.next()
		if b := r.next(); b != nil {
			if write(b) != nil {
				return
			}
			continue
		}
		writing.Lock()
		err := c.w.Flush()
		writing.Unlock()
		if err != nil {
			return
		}
		select {
		case <-wakeUp:
		case <-ctx.Done():
			return
		}
	}
}

// again is what is to be sent for what is open, in order.
func (r *reporter) again() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list [][]byte
	for _, o := range r.open {
		if o.received {
			list = append(list, ackPacket(pubrelType, o.id))
			continue
		}
		o.packet[0] |= dupFlag
		r.ledger.sent(r.topic, o.number)
		list = append(list, o.packet)
	}
	return list
}

// next is the next message, if it may be begun.
func (r *reporter) next() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun == r.limit || len(r.open) == window {
		return nil
	}
	o := &report{publication: publication{topic: r.topic, number: r.begun}}
	noise := make([]byte, small(r.rng))
	for i := range noise {
		noise[i] = byte(r.rng.Uint32())
	}
	payload := makePayload(o.topic, o.number, noise)
	r.begun++
	r.ledger.sent(o.topic, o.number)
	if r.qos == 0 {
		return packet(publishType, text(topicName(o.topic)), payload)
	}
	if r.lastID++; r.lastID == 0 {
		r.lastID++
	}
	o.id = r.lastID
	o.packet = packet(publishType|r.qos<<1, text(topicName(o.topic)), []byte{byte(o.id >> 8), byte(o.id)}, payload)
	r.open = append(r.open, o)
	return append([]byte(nil), o.packet...)
}

// answers reads acknowledgements until the connection breaks.
func (r *reporter) answers(c *client, writing *sync.Mutex) {
	for {
		if c.r.Buffered() == 0 {
			writing.Lock()
			c.w.Flush()
			writing.Unlock()
		}
		first, body, err := c.read()
		if err != nil {
			return
		}
		if len(body) != 2 || !r.take(first, binary.BigEndian.Uint16(body)) {
			r.ledger.fault(fmt.Sprint("reporter ", r.topic), fmt.Errorf("packet %#x with %x, which answers nothing", first, body))
			return
		}
		if first == pubrecType {
			writing.Lock()
			c.w.Write(ackPacket(pubrelType, binary.BigEndian.Uint16(body)))
			writing.Unlock()
		}
	}
}

// take notes an acknowledgement, and says whether it can be one.
func (r *reporter) take(first byte, id uint16) bool {
	defer r.wakeUp.tell()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, o := range r.open {
		if o.id != id {
			continue
		}
		switch {
		case first == pubackType && r.qos == 1, first == pubcompType && o.received:
			r.open = append(r.open[:i:i], r.open[i+1:]...)
			r.ledger.acknowledged(r.topic, o.number)
			return true
		case first == pubrecType && r.qos == 2:
			o.received = true
			r.ledger.acknowledged(r.topic, o.number)
			return true
		}
	}
	return false
}
