package listener

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pipes is a net.Listener whose connections are made of pipes, so that there may
// be more than the system allows.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// 10,000 connections that say nothing, or half of a CONNECT, are bounded, and do
// not keep out who means it.
func TestHalfOpenConnections(t *testing.T) {
	s, log := start(t, Options{Sink: &testSink{}, connectTimeout: time.Hour})
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	e := &endpoint{listener: p}
	accepting := make(chan struct{})
	go func() {
		s.accept(e)
		close(accepting)
	}()
	before := runtime.NumGoroutine()
	half := connectPacket(mqtt311, "c", "", 60)[:5]
	var mine []net.Conn
	for i := range 10_000 {
		client, server := net.Pipe()
		mine = append(mine, client)
		p.conns <- server
		if i%2 == 0 {
			go client.Write(half) // ends when either end is closed
		}
		s.mu.Lock()
		there := len(s.greeting.conns)
		s.mu.Unlock()
		if there > maxGuests {
			t.Fatalf("%d are there", there)
		}
	}
	log.wait(t, "many have connected and said nothing yet")
	c := connectRaw(t, s, mqtt311, "means it", "", 60)
	c.expectSilence()
	until(t, s, "those that were closed are gone", func(Stats) bool { return runtime.NumGoroutine() < before+3*maxGuests })
	for _, conn := range mine {
		conn.Close()
	}
	until(t, s, "all are gone", func(Stats) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.greeting.conns) == 0
	})
	p.Close()
	<-accepting
}

// Whoever waits for his password to be verified is not closed for the sake of
// those who have said nothing.
func TestGuestsThatAreKnownStay(t *testing.T) {
	g := greeting{conns: map[net.Conn]*guest{}}
	known, _ := net.Pipe()
	g.add(known)
	g.conns[known].known = true
	for range 2 * maxGuests {
		conn, _ := net.Pipe()
		g.add(conn)
	}
	if g.conns[known] == nil || len(g.conns) != maxGuests+1 {
		t.Errorf("%d are left; the known one: %v", len(g.conns), g.conns[known] != nil)
	}
}

// A CONNECT that is too long is refused at its header, and long ones are few at
// a time.
func TestHugeConnect(t *testing.T) {
	s, log := start(t, Options{Sink: &testSink{}})
	c := dialRaw(t, s)
	c.send(appendVarint([]byte{0x10}, maxConnect+1))
	c.expectClosed()
	log.wait(t, "at most 524288 are allowed")

	long := connectPacket(mqtt311, "c", strings.Repeat("w", 60_000), 60)
	var held []*rawClient
	for range maxLongConnects {
		c := dialRaw(t, s)
		c.send(long[:len(long)-1])
		held = append(held, c)
	}
	until(t, s, "they arrive", func(Stats) bool { return len(s.longs) == maxLongConnects })
	late := dialRaw(t, s)
	late.Write(long)
	late.expectClosed()
	log.wait(t, errLongConnects.Error())
	short := connectRaw(t, s, mqtt311, "short", "", 60)
	short.expectSilence()
	held[0].send(long[len(long)-1:])
	if first, body := held[0].read(); first != 0x20 || body[1] != 0 {
		t.Errorf("a long CONNECT was answered with %x %x", first, body)
	}
	until(t, s, "there is room again", func(Stats) bool { return len(s.longs) == maxLongConnects-1 })
}

// A server that closes while somebody is greeted does not wait for him.
func TestCloseWhileGreeting(t *testing.T) {
	g := greeting{conns: map[net.Conn]*guest{}}
	ours, theirs := net.Pipe()
	g.add(ours)
	g.close()
	if _, err := theirs.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open: %v", err)
	}
}
