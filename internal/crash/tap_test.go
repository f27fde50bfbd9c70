//go:build unix

package crash

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
)

// tap lies on the way of a client to its broker, of the gateway to mosquitto or of a
// publisher to the gateway. It takes what is said apart into
// packets, counts them, can hold one back, and can let the way fail.
type tap struct {
	broker   func(context.Context) (string, error) // its address, once it has one
	listener net.Listener
	changed  pulse
	done     chan struct{} // closed at the end
	over     sync.WaitGroup

	// rewrite, if there is one, says what is passed on in place of a packet, and
	// what its sender is answered. It is set before the first link.
	rewrite func(toBroker bool, packet []byte) (onward, answer []byte)

	mu      sync.Mutex
	closed  bool
	links   []*tapped
	count   int // links that there were
	repeats int // messages with DUP that the broker has sent
	seen    map[course]int
	stop    *stop
}

// course is a kind of packets that go one way.
type course struct {
	toBroker bool
	kind     byte // the upper half of the first byte
}

// stop is where the tap holds a packet back, and what follows it.
type stop struct {
	course course
	left   int           // so many packets come before it
	hit    chan struct{} // closed when it has come
	on     chan struct{} // closed when it may go on
}

// tapped is one link through a tap.
type tapped struct {
	client, broker net.Conn
	dead           bool // what is sent vanishes; the tap's mu guards it
}

func newTap(t testing.TB, broker func(context.Context) (string, error)) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{broker: broker, listener: l, done: make(chan struct{}), seen: map[course]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.over.Go(func() { p.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		p.close()
	})
	return p
}

func (p *tap) addr() string { return p.listener.Addr().String() }

func (p *tap) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := p.dial(ctx)
		if err != nil {
			client.Close()
			continue
		}
		l := &tapped{client: client, broker: broker}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			client.Close()
			broker.Close()
			return
		}
		p.links = append(p.links, l)
		p.count++
		p.over.Go(func() { p.pass(l, true, client, broker) })
		p.over.Go(func() { p.pass(l, false, broker, client) })
		p.mu.Unlock()
		p.changed.tell()
	}
}

func (p *tap) dial(ctx context.Context) (net.Conn, error) {
	addr, err := p.broker(ctx)
	if err != nil {
		return nil, err
	}
	return net.Dial("tcp", addr)
}

// pass passes packets on, whole ones, until the link ends.
func (p *tap) pass(l *tapped, toBroker bool, from, to net.Conn) {
	defer p.ended(l, from, to)
	in := newClient(from)
	var out []byte
	for {
		first, body, err := in.read()
		if err != nil {
			return
		}
		s, alive := p.meets(l, course{toBroker, first & 0xf0}, first)
		if s != nil {
			to.Write(out) // what came before it
			out = nil
			close(s.hit)
			select {
			case <-s.on:
			case <-p.done:
			}
			alive = p.lives(l)
		}
		if !alive {
			out = nil
			continue
		}
		onward, answer := packet(first, body), []byte(nil)
		if p.rewrite != nil {
			onward, answer = p.rewrite(toBroker, onward)
		}
		if _, err := from.Write(answer); err != nil {
			return
		}
		if out = append(out, onward...); in.r.Buffered() == 0 || len(out) > 32<<10 {
			if _, err := to.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// meets counts a packet. It returns the stop that it is, if it is one, and whether
// it may be passed on.
func (p *tap) meets(l *tapped, c course, first byte) (s *stop, alive bool) {
	p.mu.Lock()
	defer p.changed.tell()
	defer p.mu.Unlock()
	if l.dead {
		return nil, false
	}
	p.seen[c]++
	if !c.toBroker && c.kind == publishType && first&dupFlag != 0 {
		p.repeats++
	}
	if p.stop == nil || p.stop.course != c {
		return nil, true
	}
	if p.stop.left--; p.stop.left >= 0 {
		return nil, true
	}
	s, p.stop = p.stop, nil
	return s, true
}

func (p *tap) lives(l *tapped) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !l.dead
}

// ended closes a link of which one end has gone; the other end of one that is dead
// is not told.
func (p *tap) ended(l *tapped, from, to net.Conn) {
	from.Close()
	if p.lives(l) {
		to.Close()
	}
}

// holdAt holds a packet back, the one after so many others of its course, and all
// that follow it on its link.
func (p *tap) holdAt(c course, left int) *stop {
	s := &stop{course: c, left: left, hit: make(chan struct{}), on: make(chan struct{})}
	p.mu.Lock()
	p.stop = s
	p.mu.Unlock()
	return s
}

// cut ends all links, so that both ends notice.
func (p *tap) cut() { p.fail(func(l *tapped) { l.client.Close(); l.broker.Close() }) }

// swallow makes all links dead: what is sent over them vanishes, and neither end
// hears of it. New ones are not concerned.
func (p *tap) swallow() { p.fail(func(*tapped) {}) }

func (p *tap) fail(how func(*tapped)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if !l.dead {
			l.dead = true
			how(l)
		}
	}
}

// dialed is how many links there were until now, perhaps without an answer.
func (p *tap) dialed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// repeated is how many messages the broker has sent with DUP.
func (p *tap) repeated() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.repeats
}

// met is how many packets of a course there were.
func (p *tap) met(c course) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[c]
}

func (p *tap) close() {
	p.mu.Lock()
	p.closed = true
	links := slices.Clone(p.links)
	p.mu.Unlock()
	close(p.done)
	p.listener.Close()
	for _, l := range links {
		l.client.Close()
		l.broker.Close()
	}
	p.over.Wait()
}
