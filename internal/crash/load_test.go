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

const (
	publishers = 64
	topicCount = 100
	// window is how many messages a publisher has unacknowledged, at most.
	window = 20
)

// load publishes through as many clients as there are in a plant: pipelined,
// each with topics of its own, so that the order of a topic is known. What was
// not acknowledged when a connection broke is sent again on the next, first.
type load struct {
	ledger *ledger
	target func(context.Context) (string, error) // address of the gateway, waits for it
	sizes  func(*rand.Rand) int                  // of the noise in a payload, up to len(noise)
	fueled pulse
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	fuel  int // messages that may be published
	begun int // messages for which that was used up
}

// startLoad starts the publishers; they wait for fuel.
func startLoad(t testing.TB, l *ledger, seed uint64, sizes func(*rand.Rand) int, target func(context.Context) (string, error)) *load {
	ctx, cancel := context.WithCancel(context.Background())
	o := &load{ledger: l, target: target, sizes: sizes, cancel: cancel}
	noise := make([]byte, maxNoise)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for i := range publishers {
		p := &publisher{load: o, id: fmt.Sprintf("load-%02d", i), noise: noise, rng: rand.New(rand.NewPCG(seed, uint64(i+2)))}
		for topic := i; topic < topicCount; topic += publishers {
			p.topics = append(p.topics, lane{topic: topic})
		}
		o.wg.Go(func() { p.run(ctx) })
	}
	t.Cleanup(o.stop)
	return o
}

const maxNoise = 16 << 10

// small is the size of what sensors send.
func small(rng *rand.Rand) int { return rng.IntN(300) }

// mixed has some large payloads, so that files fill up.
func mixed(rng *rand.Rand) int {
	if rng.IntN(4) == 0 {
		return rng.IntN(maxNoise)
	}
	return small(rng)
}

// publish lets n more messages be published.
func (o *load) publish(n int) {
	o.mu.Lock()
	o.fuel += n
	o.mu.Unlock()
	o.fueled.tell()
}

// rest takes back what was not begun yet.
func (o *load) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fuel = 0
}

// take uses up fuel for one message.
func (o *load) take() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fuel == 0 {
		return false
	}
	o.fuel--
	o.begun++
	return true
}

// done says that nothing is left to publish, and so many messages were.
func (o *load) done() (messages int, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.begun, o.fuel == 0
}

func (o *load) stop() {
	o.cancel()
	o.wg.Wait()
}

// publisher is one client.
type publisher struct {
	load   *load
	id     string
	topics []lane
	turn   int
	noise  []byte
	rng    *rand.Rand
	lastID uint16

	mu       sync.Mutex
	inFlight []publication // in the order of publication
}

// lane is a topic and the number of its next message.
type lane struct{ topic, next int }

// publication is a message without acknowledgement.
type publication struct {
	topic, number int
	id            uint16
	packet        []byte
}

func (p *publisher) run(ctx context.Context) {
	for ctx.Err() == nil {
		addr, err := p.load.target(ctx)
		if err != nil {
			return
		}
		c, _, err := connect(ctx, addr, p.id, true)
		if refused := refusedError(0); errors.As(err, &refused) {
			p.load.ledger.fault(p.id, err)
			return
		}
		if err == nil {
			p.session(ctx, c)
			c.Close()
		}
		pause(ctx, 5*time.Millisecond) // the gateway may be dead without that we were told
	}
}

// pause waits between two attempts to connect.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// session publishes on one connection until it breaks.
func (p *publisher) session(ctx context.Context, c *client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	room := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		p.acknowledgements(c, room)
	}()
	p.write(ctx, c, room)
	cancel()
	c.Close()
	<-done
}

// write sends again what is in flight, and goes on from there.
func (p *publisher) write(ctx context.Context, c *client, room <-chan struct{}) {
	p.mu.Lock()
	again := append([]publication(nil), p.inFlight...)
	p.mu.Unlock()
	for _, m := range again {
		m.packet[0] |= dupFlag
		p.load.ledger.sent(m.topic, m.number)
		if _, err := c.w.Write(m.packet); err != nil {
			return
		}
	}
	for {
		fueled := p.load.fueled.next()
		full := p.flying() >= window
		if !full && p.load.take() {
			m := p.next()
			p.load.ledger.sent(m.topic, m.number)
			if _, err := c.w.Write(m.packet); err != nil {
				return
			}
			continue
		}
		if c.w.Flush() != nil {
			return
		}
		if full {
			fueled = nil
		}
		select {
		case <-room:
		case <-fueled:
		case <-ctx.Done():
			return
		}
	}
}

func (p *publisher) flying() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inFlight)
}

// next makes the next message and takes it into flight.
func (p *publisher) next() publication {
	lane := &p.topics[p.turn%len(p.topics)]
	p.turn++
	if p.lastID++; p.lastID == 0 {
		p.lastID++
	}
	size := p.load.sizes(p.rng)
	from := p.rng.IntN(len(p.noise) - size + 1)
	m := publication{topic: lane.topic, number: lane.next, id: p.lastID}
	m.packet = publishPacket(topicName(m.topic), makePayload(m.topic, m.number, p.noise[from:from+size]), m.id)
	lane.next++
	p.mu.Lock()
	p.inFlight = append(p.inFlight, m)
	p.mu.Unlock()
	return m
}

// acknowledgements reads PUBACKs until the connection breaks.
func (p *publisher) acknowledgements(c *client, room chan<- struct{}) {
	for {
		first, body, err := c.read()
		if err != nil {
			return
		}
		if first != pubackType || len(body) != 2 {
			p.load.ledger.fault(p.id, fmt.Errorf("packet %#x with %d bytes instead of PUBACK", first, len(body)))
			return
		}
		id := binary.BigEndian.Uint16(body)
		p.mu.Lock()
		i := 0
		for i < len(p.inFlight) && p.inFlight[i].id != id {
			i++
		}
		if i == len(p.inFlight) {
			p.mu.Unlock()
			p.load.ledger.fault(p.id, fmt.Errorf("PUBACK of %d, which is not in flight", id))
			return
		}
		m := p.inFlight[i]
		p.inFlight = append(p.inFlight[:i], p.inFlight[i+1:]...)
		p.mu.Unlock()
		p.load.ledger.acknowledged(m.topic, m.number)
		select {
		case room <- struct{}{}:
		default:
		}
	}
}
