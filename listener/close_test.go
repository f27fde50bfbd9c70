package listener

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Close answers what the Sink has, then ends the connections; what was not
// handed over is not acknowledged.
func TestCloseAnswersWhatIsPending(t *testing.T) {
	sink := &testSink{hold: true}
	s, _ := start(t, Options{Sink: sink, ReceiveMax: 2})
	three, five := connectRaw(t, s, mqtt311, "three", "", 60), connectRaw(t, s, mqtt5, "five", "", 60)
	greeting := dialRaw(t, s)
	for id := uint16(1); id <= 3; id++ {
		three.publish("t", "x", 1, id, false)
		five.publish("t", "x", 2, id, false)
	}
	three.expectSilence()
	five.expectSilence()
	sink.count(t, 4)

	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	greeting.expectClosed()
	until(t, s, "reading has stopped", func(st Stats) bool { return st.Clients == 0 })
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("it still accepts")
	}
	select {
	case err := <-closed:
		t.Fatalf("closed with messages pending: %v", err)
	default:
	}
	sink.release(nil)
	three.expect(ackPacket(pubackKind, 1), ackPacket(pubackKind, 2))
	five.expect(ackPacket(pubrecKind, 1), ackPacket(pubrecKind, 2), []byte{0xE0, 2, 0x8B, 0})
	three.expectClosed()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	sink.count(t, 4)
}

// Close does not wait longer than it is told to.
func TestCloseIsCutShort(t *testing.T) {
	sink := &testSink{hold: true}
	s, err := Listen(context.Background(), Options{Endpoints: []Endpoint{{Addr: "127.0.0.1:0"}}, Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	c := connectRaw(t, s, mqtt311, "c", "will/t", 60)
	c.publish("t", "x", 1, 1, false)
	sink.count(t, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if first, body := c.expectClosed(); first != 0 {
		t.Errorf("got %x %x", first, body)
	}
	sink.release(nil) // late, and harmless
	if n := s.Stats().Clients; n != 0 {
		t.Errorf("%d clients", n)
	}
}

// A subscriber that does not read does not keep Close waiting.
func TestCloseDoesNotWaitForWhoDoesNotRead(t *testing.T) {
	sink := &testSink{}
	s, err := Listen(context.Background(), Options{Endpoints: []Endpoint{{Addr: "127.0.0.1:0"}}, Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	stuck := connectRaw(t, s, mqtt311, "stuck", "", 0)
	stuck.Conn.(*net.TCPConn).SetReadBuffer(4096)
	stuck.subscribe("t", 0)
	for s.Stats().Dropped == 0 {
		s.Deliver(types.Message{Topic: "t", Payload: make([]byte, 100_000)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
