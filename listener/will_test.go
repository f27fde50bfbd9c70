package listener

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// A will is stored and delivered whenever a client goes without DISCONNECT
// [MQTT-3.1.2-8], after everything that the client had sent.
func TestWill(t *testing.T) {
	disconnect := []byte{0xE0, 0}
	tests := []struct {
		name    string
		version byte
		end     func(s *Server, c *rawClient)
		want    bool
	}{
		{"DISCONNECT", mqtt311, func(_ *Server, c *rawClient) { c.send(disconnect) }, false},
		{"DISCONNECT of 5", mqtt5, func(_ *Server, c *rawClient) { c.send(disconnect) }, false},
		{"DISCONNECT with will", mqtt5, func(_ *Server, c *rawClient) { c.send([]byte{0xE0, 1, 4}) }, true},
		{"connection lost", mqtt31, func(_ *Server, c *rawClient) { c.Close() }, true},
		{"malformed packet", mqtt311, func(_ *Server, c *rawClient) { c.send([]byte{0x36, 0}) }, true},
		{"silence", mqtt311, func(_ *Server, c *rawClient) {}, true},
		{"takeover", mqtt311, func(s *Server, c *rawClient) { connectRaw(c.t, s, mqtt311, "c", "", 0) }, true},
		{"end of the server", mqtt311, func(s *Server, c *rawClient) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				c.t.Error(err)
			}
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sink := &testSink{}
			s, log := start(t, Options{Sink: sink})
			c := connectRaw(t, s, test.version, "c", "will/t", 1)
			c.publish("t", "before", 1, 1, false)
			c.expect(ackPacket(pubackKind, 1))
			test.end(s, c)
			c.expectClosed()
			if !test.want {
				log.wait(t, "client disconnected")
				sink.count(t, 1)
				return
			}
			m := sink.count(t, 2)[1].message
			if m.Topic != "will/t" || string(m.Payload) != "gone" || m.QoS != 1 {
				t.Errorf("the will was %+v", m)
			}
		})
	}
}

// A will waits for room, and is delivered to subscribers after its commit.
func TestWillWaitsForRoom(t *testing.T) {
	sink := &testSink{full: true}
	s, _ := start(t, Options{Sink: sink})
	sub := connectRaw(t, s, mqtt311, "sub", "", 60)
	sub.subscribe("will/#", 1)
	c := connectRaw(t, s, mqtt311, "c", "will/t", 60)
	c.Close()
	sink.until(t, "asked", func() bool { return sink.refused == 1 })
	sub.expectSilence()
	sink.makeRoom()
	if m, _ := sub.message(); m.Topic != "will/t" || m.QoS != 1 {
		t.Errorf("got %+v", m)
	}
}

// A client of MQTT 5 is told that it was taken over; the new one goes on.
func TestTakeover(t *testing.T) {
	sink := &testSink{}
	s, log := start(t, Options{Sink: sink})
	old := connectRaw(t, s, mqtt5, "c", "", 60)
	old.subscribe("t", 0)
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	if first, body := old.expectClosed(); first != 0xE0 || body[0] != 0x8E {
		t.Errorf("the old one was told %x %x", first, body)
	}
	log.wait(t, "another client has connected with the same client id")
	c.publish("t", "x", 1, 1, false)
	c.expect(ackPacket(pubackKind, 1)) // and nothing from the old subscription
	c.expectSilence()
	if n := s.Stats().Clients; n != 1 {
		t.Errorf("%d clients", n)
	}
}

// The keepalive runs out 1.5 times its length after the last packet, not
// before; PINGREQ and everything else renew it.
func TestKeepAlive(t *testing.T) {
	s, log := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt5, "c", "", 1)
	connectRaw(t, s, mqtt5, "half", "", 1).send([]byte{0x30, 100, 0, 1, 'a'}) // half a packet is none
	began := time.Now()
	if first, body := c.expectClosed(); first != 0xE0 || body[0] != 0x8D {
		t.Errorf("it was told %x %x", first, body)
	}
	if took := time.Since(began); took < 1400*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	log.wait(t, fmt.Sprintf("client=half reason=%q", errSilent))
}
