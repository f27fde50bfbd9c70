package listener

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// texts are the payloads of what was stored.
func texts(all []stored) (list []string) {
	for _, e := range all {
		list = append(list, string(e.message.Payload))
	}
	return list
}

// S5.2: at most receive_max publishes are unanswered; those beyond wait, and
// what is behind them is served.
func TestReceiveMax(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink, ReceiveMax: 2})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	for i := range 6 {
		c.publish("t", fmt.Sprint(i), types.QoS(1+i%2), uint16(i+1), false)
	}
	c.publish("t", "6", 0, 0, false)                             // keeps its place too
	c.expectSilence()                                            // PINGREQ
	c.send(ackPacket(pubrelKind, 99))                            // PUBREL
	c.expect(ackPacket(pubcompKind, 99))                         //
	c.publish("t", "0", 1, 1, true)                              // a DUP of one that the Sink has
	c.publish("t", "4", 1, 5, true)                              // a DUP of one that waits
	c.expectSilence()                                            //
	sink.count(t, 2)                                             //
	sink.release(nil)                                            //
	c.expect(ackPacket(pubackKind, 1), ackPacket(pubrecKind, 2)) //
	sink.count(t, 4)                                             //
	sink.release(nil)                                            //
	c.expect(ackPacket(pubackKind, 3), ackPacket(pubrecKind, 4)) //
	if got := fmt.Sprint(texts(sink.count(t, 7))); got != "[0 1 2 3 4 5 6]" {
		t.Errorf("stored in the order %s", got)
	}
	sink.release(nil)
	c.expect(ackPacket(pubackKind, 5), ackPacket(pubrecKind, 6))
	c.expectSilence()
}

// While the Sink has no room it is asked once, and the client is served.
func TestNoRoom(t *testing.T) {
	sink := &testSink{full: true}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	for i := range 3 {
		c.publish("t", fmt.Sprint(i), 1, uint16(i+1), false)
	}
	c.expectSilence()
	sink.until(t, "asked", func() bool { return sink.refused == 1 })
	sink.makeRoom()
	c.expect(ackPacket(pubackKind, 1), ackPacket(pubackKind, 2), ackPacket(pubackKind, 3))
	if got := fmt.Sprint(texts(sink.count(t, 3))); got != "[0 1 2]" {
		t.Errorf("stored in the order %s", got)
	}
	sink.until(t, "asked", func() bool { return sink.refused == 1 })
}

// hastySink says that there is no room, and that there is, in one call.
type hastySink struct {
	testSink
	calls int
}

func (s *hastySink) Publish(messages []types.Passage, room func()) int {
	if s.calls++; s.calls%2 == 1 {
		room()
		return 0
	}
	return s.testSink.Publish(messages, room)
}

func TestRoomBeforeTheAnswerThatThereIsNone(t *testing.T) {
	sink := &hastySink{}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	for i := range 100 {
		c.publish("t", fmt.Sprint(i), 1, uint16(i+1), false)
	}
	for i := range 100 {
		c.expect(ackPacket(pubackKind, uint16(i+1)))
	}
}

// S5.2: a client whose read-ahead stays full for 1.5 times its keepalive is
// disconnected; a client of version 5 learns why. What was not acknowledged at
// QoS 1 stays with it.
func TestFullReadAhead(t *testing.T) {
	for _, version := range []byte{mqtt311, mqtt5} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			sink := &testSink{full: true}
			s, log := start(t, Options{Sink: sink})
			c := connectRaw(t, s, version, "c", "", 1)
			go func() { // until it is stopped
				for i := range 3000 {
					if _, err := c.Write(publishPacket(version, "t", make([]byte, 8000), 1, uint16(i+1), false, false)); err != nil {
						return
					}
				}
			}()
			first, body := c.expectClosed()
			if version == mqtt5 && (first != 0xE0 || body[0] != 0x97) {
				t.Errorf("the last packet was %x %x", first, body)
			}
			log.wait(t, "cannot be stored as fast")
			sink.makeRoom()
			sink.count(t, 0)
		})
	}
}

// The read-ahead takes at least one packet, however large, and what is read on
// when there is room again is not late.
func TestLargeMessagesOneByOne(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink, MaxMessageSize: 3 << 20})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	go func() {
		for i := range 5 {
			c.Write(publishPacket(mqtt311, "t", make([]byte, 3<<20), 1, uint16(i+1), false, false))
		}
	}()
	for i := range 5 {
		sink.count(t, i+1) // one at a time: they are larger than what a client may hold
		sink.release(nil)
		c.expect(ackPacket(pubackKind, uint16(i+1)))
	}
}

// What a client sent before its DISCONNECT is stored, even if it had to wait
// when the connection was gone. Without DISCONNECT only QoS 0 is: it is not
// sent again.
func TestReadAheadOutlivesConnection(t *testing.T) {
	for name, polite := range map[string]bool{"after DISCONNECT": true, "after a lost connection": false} {
		t.Run(name, func(t *testing.T) {
			sink := &testSink{full: true}
			s, log := start(t, Options{Sink: sink})
			c := connectRaw(t, s, mqtt311, "c", "", 60)
			c.publish("t", "zero", 0, 0, false)
			c.publish("t", "one", 1, 1, false)
			c.publish("t", "two", 2, 2, false)
			c.publish("t", "last", 0, 0, false)
			want := []string{"zero", "last", "successor"}
			if polite {
				want = []string{"zero", "one", "two", "last", "successor"}
				c.send([]byte{0xE0, 0})
				c.expectClosed()
			} else {
				c.expectSilence()
				c.Close()
				until(t, s, "the client is gone", func(st Stats) bool { return st.Clients == 0 })
			}
			// A successor of the same name waits for it.
			d := connectRaw(t, s, mqtt311, "c", "", 60)
			d.publish("t", "successor", 1, 1, false)
			d.expectSilence()
			sink.makeRoom()
			d.expect(ackPacket(pubackKind, 1))
			if got := texts(sink.count(t, len(want))); !slices.Equal(got, want) {
				t.Errorf("stored %v, want %v", got, want)
			}
			log.wait(t, "client disconnected")
		})
	}
}

// gateSink is a Sink one call of which waits.
type gateSink struct {
	testSink
	entered, open chan struct{}
}

func (s *gateSink) Publish(messages []types.Passage, room func()) int {
	if string(messages[0].Message.Payload) == "first" {
		s.mu.Lock()
		full := s.full
		s.mu.Unlock()
		if !full {
			close(s.entered)
			<-s.open
		}
	}
	return s.testSink.Publish(messages, room)
}

// A read-ahead that becomes full, and has room again, while others are handed to
// the Sink: the client is read on.
func TestReadAheadFullForAMoment(t *testing.T) {
	sink := &gateSink{testSink: testSink{full: true, hold: true}, entered: make(chan struct{}), open: make(chan struct{})}
	s, _ := start(t, Options{Sink: sink})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.publish("t", "first", 1, 1, false)
	c.expectSilence() // the reader was told that there is no room
	sink.makeRoom()
	<-sink.entered // the writer is in it now
	c.send(
		publishPacket(mqtt311, "t", make([]byte, 700_000), 1, 2, false, false),
		publishPacket(mqtt311, "t", make([]byte, 400_000), 1, 3, false, false))
	s.mu.Lock()
	session := s.sessions["c"]
	s.mu.Unlock()
	until(t, s, "the read-ahead is full", func(Stats) bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.intake.full()
	})
	close(sink.open)
	sink.count(t, 2)
	c.expectSilence()
	for id := uint16(1); id <= 3; id++ {
		sink.count(t, min(int(id)+1, 3))
		sink.release(nil)
	}
	c.expect(ackPacket(pubackKind, 1), ackPacket(pubackKind, 2), ackPacket(pubackKind, 3))
}

// countingSink counts the calls.
type countingSink struct {
	testSink
	calls []int // messages of each
}

func (s *countingSink) Publish(messages []types.Passage, room func()) int {
	s.set(func() { s.calls = append(s.calls, len(messages)) })
	return s.testSink.Publish(messages, room)
}

// Publishes that arrive together are handed on together; those beyond receive_max, and those behind one that is refused, later.
func TestPublishesAreHandedOnTogether(t *testing.T) {
	tests := []struct {
		name       string
		receiveMax int
		topic5     string // of the fifth
		calls      string
	}{
		{"all", 100, "t", "[10]"},
		{"receive_max", 4, "t", "[4 4 2]"},
		{"a topic of ours", 100, "$SYS/x", "[4 5]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sink := &countingSink{}
			s, _ := start(t, Options{Sink: sink, ReceiveMax: test.receiveMax})
			client, server := net.Pipe() // what is written in one piece is read in one piece
			go s.serve(server, s.endpoints[0])
			c := &rawClient{t: t, Conn: client, r: bufio.NewReader(client), version: mqtt311}
			defer client.Close()
			go client.Write(connectPacket(mqtt311, "c", "", 60))
			c.read()
			var all []byte
			for i := range 10 {
				topic := "t"
				if i == 4 {
					topic = test.topic5
				}
				all = append(all, publishPacket(mqtt311, topic, []byte{byte(i)}, 1, uint16(i+1), false, false)...)
			}
			go client.Write(all)
			for acks := uint16(0); acks < 10; {
				if first, body := c.read(); first == 0x40 {
					if acks++; binary.BigEndian.Uint16(body) != acks {
						t.Errorf("acknowledged %x, want %d", body, acks)
					}
				}
			}
			sink.set(func() {
				if got := fmt.Sprint(sink.calls); got != test.calls {
					t.Errorf("calls with %s messages, want %s", got, test.calls)
				}
			})
		})
	}
}
