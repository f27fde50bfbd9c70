package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
)

// peer is the other end of a link: it plays the broker byte by byte.
type peer struct {
	t    testing.TB
	conn net.Conn

	mu       sync.Mutex
	sent     bytes.Buffer // by the client, after CONNECT
	events   []broker.Event
	changed  chan struct{}
	hungUp   bool
	answered chan struct{} // closed when CONNACK was written
}

var connackAccepted = []byte{0x20, 2, 0, 0}

func options() broker.ConnectOptions {
	return broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311}
}

// connect dials a link to a peer that reads all that the link writes.
func connect(t testing.TB, d *Dialer, o broker.ConnectOptions) (*peer, broker.Link) {
	t.Helper()
	p, link, _, err := answer(t, d, o, connackAccepted)
	if err != nil {
		t.Fatal(err)
	}
	return p, link
}

// answer dials a link to a peer that answers CONNECT with connack.
func answer(t testing.TB, d *Dialer, o broker.ConnectOptions, connack []byte) (*peer, broker.Link, broker.Session, error) {
	t.Helper()
	near, far := net.Pipe()
	p := &peer{t: t, conn: far, changed: make(chan struct{}), answered: make(chan struct{})}
	if d == nil {
		d = &Dialer{}
	}
	d.Network = func(context.Context) (broker.Conn, error) { return near, nil }
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	go p.serve(connack)
	link, session, err := d.Dial(context.Background(), o, p.event)
	if err == nil {
		<-p.answered
	}
	return p, link, session, err
}

func (p *peer) serve(connack []byte) {
	b := make([]byte, 64<<10)
	if _, err := p.conn.Read(b); err != nil {
		return
	}
	if connack == nil {
		p.conn.Close()
		return
	}
	p.conn.Write(connack)
	close(p.answered)
	for {
		n, err := p.conn.Read(b)
		p.note(func() { p.sent.Write(b[:n]); p.hungUp = err != nil })
		if err != nil {
			return
		}
	}
}

func (p *peer) event(e broker.Event) { p.note(func() { p.events = append(p.events, e) }) }

func (p *peer) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits until ok, which may look at all fields; a test that waits for
// what never comes ends with the package's timeout.
func (p *peer) until(ok func() bool) {
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return
		}
		<-changed
	}
}

// down waits for Down and returns its error.
func (p *peer) down() (err error) {
	p.until(func() bool {
		if len(p.events) == 0 {
			return false
		}
		d, ok := p.events[len(p.events)-1].(broker.Down)
		err = d.Err
		return ok
	})
	return err
}

// hears waits until the link has written want since the last call.
func (p *peer) hears(want []byte) {
	p.t.Helper()
	p.until(func() bool { return p.sent.Len() >= len(want) || p.hungUp })
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := p.sent.Next(len(want)); !bytes.Equal(got, want) {
		p.t.Errorf("the link wrote % x, want % x", got, want)
	}
}

// says writes bytes to the link.
func (p *peer) says(b ...byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Errorf("the link does not read: %v", err)
	}
}

// show is a short form of an event for golden files.
func show(e broker.Event) string {
	switch e := e.(type) {
	case broker.Acked:
		var s []string
		for _, a := range e.Acks {
			s = append(s, fmt.Sprintf("%s %d", [...]string{"PUBACK", "PUBREC", "PUBCOMP"}[a.Kind], a.ID))
		}
		return "acked " + strings.Join(s, ", ")
	case broker.Received:
		var s []string
		for _, in := range e.Packets {
			s = append(s, showInbound(in))
		}
		return "received " + strings.Join(s, ", ")
	case broker.Subscribed:
		return fmt.Sprintf("subscribed %d [% x]", e.ID, e.Codes)
	case broker.Unsubscribed:
		return fmt.Sprintf("unsubscribed %d", e.ID)
	case broker.Written:
		return fmt.Sprintf("written %d", e.Tag)
	case broker.Down:
		return fmt.Sprintf("down: %v", e.Err)
	}
	return fmt.Sprintf("%#v", e)
}

func showInbound(in broker.Inbound) string {
	m := in.Message
	flags := ""
	if in.Dup {
		flags += " dup"
	}
	if m.Retain {
		flags += " retain"
	}
	switch in.Kind {
	case broker.Release:
		return fmt.Sprintf("release %d", in.ID)
	case broker.Oversized:
		return fmt.Sprintf("oversized %d QoS %d%s %q: %d bytes", in.ID, m.QoS, flags, m.Topic, in.Size)
	}
	return fmt.Sprintf("message %d QoS %d%s %q: %q", in.ID, m.QoS, flags, m.Topic, m.Payload)
}

// pieces is a Conn for reading only that hands out so many bytes at a time.
type pieces struct {
	io.Reader
	size int
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }
