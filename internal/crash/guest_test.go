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

// guest is a local client with a persistent session, subscribed to what all
// speakers say. It comes and goes as it likes, until it is told to stay.
type guest struct {
	t       testing.TB
	id      string
	qos     byte // of its subscription
	target  func(context.Context) (string, error)
	changed *pulse
	rng     *rand.Rand
	longest time.Duration // of a visit, and of an absence

	received map[uint16]utterance // QoS 2 ids without PUBREL; only run uses it

	mu     sync.Mutex
	stays  bool
	visits int
	lanes  map[int]*heard
	stored map[utterance]bool
	again  int // deliveries at QoS 1 that came before
	live   int // deliveries at QoS 0
}

// heard is what a guest got of a speaker.
type heard struct {
	last    int // the highest number
	numbers map[int]bool
}

// invite subscribes a guest. comes says whether it comes before it is told to stay.
func invite(t testing.TB, changed *pulse, id string, qos byte, seed uint64, comes bool, target func(context.Context) (string, error)) *guest {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g := &guest{
		t: t, id: id, qos: qos, target: target, changed: changed, rng: rand.New(rand.NewPCG(seed, 0)), longest: 60 * time.Millisecond,
		received: map[uint16]utterance{}, lanes: map[int]*heard{}, stored: map[utterance]bool{},
	}
	greeting, done := context.WithTimeout(ctx, patience)
	defer done()
	addr, err := target(greeting)
	if err != nil {
		t.Fatal(err)
	}
	c, present, err := connect(greeting, addr, id, false)
	if err != nil || present {
		t.Fatalf("%s: %v, session present %v", id, err, present)
	}
	body, err := c.ask(packet(0x82, []byte{0, 1}, text("s/#"), []byte{qos}), subackType)
	c.Close()
	if err != nil || body[2] != qos {
		t.Fatalf("%s: SUBSCRIBE: %x %v", id, body, err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		g.run(ctx, comes)
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	return g
}

// stay makes it come, and not go any more.
func (g *guest) stay() {
	g.mu.Lock()
	g.stays = true
	g.mu.Unlock()
	g.changed.tell()
}

func (g *guest) run(ctx context.Context, comes bool) {
	for ctx.Err() == nil {
		next := g.changed.next()
		g.mu.Lock()
		stays := g.stays
		g.mu.Unlock()
		if !stays && !comes {
			select {
			case <-next:
			case <-ctx.Done():
			}
			continue
		}
		addr, err := g.target(ctx)
		if err != nil {
			return
		}
		c, present, err := connect(ctx, addr, g.id, false)
		if refused := refusedError(0); errors.As(err, &refused) {
			g.t.Errorf("%s: %v", g.id, err)
		}
		if err != nil {
			pause(ctx, time.Millisecond)
			continue
		}
		if !present {
			g.t.Errorf("%s: the session is not present", g.id)
		}
		visit, cancel := context.WithCancel(ctx)
		if !stays {
			visit, cancel = context.WithTimeout(ctx, odd(g.rng, g.longest))
		}
		stop := context.AfterFunc(visit, func() { c.Close() })
		g.attend(c)
		stop()
		cancel()
		c.Close()
		if !stays {
			pause(ctx, odd(g.rng, g.longest))
		}
	}
}

// attend takes messages until the connection breaks. It acknowledges them in
// bunches, as they come.
func (g *guest) attend(c *client) {
	g.mu.Lock()
	g.visits++
	g.mu.Unlock()
	for {
		if c.r.Buffered() == 0 && c.w.Flush() != nil {
			return
		}
		first, body, err := c.read()
		if err != nil {
			return
		}
		if first == pubrelType {
			id := binary.BigEndian.Uint16(body)
			delete(g.received, id)
			c.w.Write(ackPacket(pubcompType, id))
			continue
		}
		p, err := parsePublish(first, body)
		if err != nil || first&0xf0 != publishType {
			g.t.Errorf("%s: packet %#x %x: %v", g.id, first, body, err)
			return
		}
		if u, err := parseUtterance(p.payload); err == nil {
			g.take(p, u)
		}
		switch first & 6 {
		case 2:
			c.w.Write(pubackPacket(p.id))
		case 4:
			c.w.Write(ackPacket(pubrecType, p.id))
		}
	}
}

// take holds a message against the guarantees: what is stored comes at QoS 2 once;
// what a speaker said comes in order, except again.
func (g *guest) take(p message, u utterance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	qos := p.first & 6 >> 1
	if qos == 2 {
		if before, known := g.received[p.id]; known {
			if before != u || p.first&dupFlag == 0 {
				g.t.Errorf("%s: packet id %d, which stands for %v, came as %v with flags %#x", g.id, p.id, before, u, p.first)
			}
			return
		}
		g.received[p.id] = u
		if g.stored[u] {
			g.t.Errorf("%s: %v was delivered twice at QoS 2", g.id, u)
		}
	} else if g.stored[u] {
		g.again++
		if qos == 0 {
			g.t.Errorf("%s: %v was delivered twice at QoS 0", g.id, u)
		}
		return
	}
	if qos == 0 {
		g.live++
	}
	g.stored[u] = true
	h := g.lanes[u.lane]
	if h == nil {
		h = &heard{numbers: map[int]bool{}}
		g.lanes[u.lane] = h
	}
	if u.number < h.last && !h.numbers[u.number] {
		g.t.Errorf("%s: %v came after number %d", g.id, u, h.last)
	}
	h.last = max(h.last, u.number)
	h.numbers[u.number] = true
	g.changed.tell()
}

// missing is how many of the messages that a speaker began have not come. (To be
// asked when all of these are acknowledged.)
func (g *guest) missing(s *speaker) int {
	begun, _, _ := s.counts()
	g.mu.Lock()
	defer g.mu.Unlock()
	if h := g.lanes[s.lane]; h != nil {
		return begun - len(h.numbers)
	}
	return begun
}

func (g *guest) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprintf("%s: %d delivered in %d visits, %d again, %d live at QoS 0", g.id, len(g.stored), g.visits, g.again, g.live)
}

// knows says whether it got that number of a speaker.
func (g *guest) knows(lane, number int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.lanes[lane]
	return h != nil && h.numbers[number]
}
