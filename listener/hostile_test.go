package listener

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What is no MQTT ends the connection that it came on, tells a client of
// version 5 why, and is never acknowledged. Another client does not notice.
func TestMalformedPackets(t *testing.T) {
	long := append(bytes.Repeat([]byte{0xFF}, 4), 1)
	tests := []struct {
		name   string
		packet []byte
		code   byte // for version 5
	}{
		{"type 0", []byte{0, 0}, 0x82},
		{"CONNACK", []byte{0x20, 2, 0, 0}, 0x82},
		{"SUBACK", []byte{0x90, 3, 0, 1, 0}, 0x82},
		{"AUTH", []byte{0xF0, 0}, 0x82},
		{"second CONNECT", connectPacket(mqtt311, "x", "", 60), 0x82},
		{"length of five bytes", append([]byte{0x30}, long...), 0x81},
		{"QoS 3", []byte{0x36, 5, 0, 1, 'a', 0, 1}, 0x81},
		{"DUP at QoS 0", []byte{0x38, 3, 0, 1, 'a'}, 0x81},
		{"PUBLISH id 0", []byte{0x32, 5, 0, 1, 'a', 0, 0}, 0x81},
		{"PUBLISH without id", []byte{0x32, 3, 0, 1, 'a'}, 0x81},
		{"PUBLISH empty", []byte{0x30, 0}, 0x81},
		{"topic longer than packet", []byte{0x30, 3, 0, 9, 'a'}, 0x81},
		{"topic #", []byte{0x30, 4, 0, 1, '#', 0}, 0x90},
		{"topic a/+", []byte{0x30, 6, 0, 3, 'a', '/', '+', 0}, 0x90},
		{"topic with NUL", []byte{0x30, 4, 0, 1, 0, 0}, 0x90},
		{"topic with a control character", []byte{0x30, 4, 0, 1, 7, 0}, 0x90},
		{"topic not UTF-8", []byte{0x30, 4, 0, 1, 0xFF, 0}, 0x90},
		{"PUBACK short", []byte{0x40, 1, 0}, 0x81},
		{"PUBACK id 0", []byte{0x40, 2, 0, 0}, 0x81},
		{"PUBREL flags", []byte{0x60, 2, 0, 1}, 0x81},
		{"PINGREQ flags", []byte{0xC1, 0}, 0x81},
		{"PINGREQ with content", []byte{0xC0, 1, 0}, 0x81},
		{"SUBSCRIBE flags", []byte{0x80, 6, 0, 1, 0, 1, 'a', 0}, 0x81},
		{"SUBSCRIBE id 0", []byte{0x82, 7, 0, 0, 0, 0, 1, 'a', 0}, 0x81},
		{"SUBSCRIBE without filter", []byte{0x82, 3, 0, 1, 0}, 0x82},
		{"SUBSCRIBE without options", []byte{0x82, 6, 0, 1, 0, 0, 1, 'a'}, 0x81},
		{"UNSUBSCRIBE without filter", []byte{0xA2, 3, 0, 1, 0}, 0x82},
		{"SUBSCRIBE too long", append([]byte{0x82}, 0xFF, 0xFF, 0xFF, 0x7F), 0x95},
	}
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink})
	witness := connectRaw(t, s, mqtt311, "witness", "", 0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := connectRaw(t, s, mqtt5, "five", "", 0)
			c.send(test.packet)
			if first, body := c.expectClosed(); first != 0xE0 || body[0] != test.code {
				t.Errorf("version 5 was told %x %x, want %x", first, body, test.code)
			}
			if test.name == "SUBSCRIBE without filter" || test.name == "UNSUBSCRIBE without filter" {
				test.packet = append(test.packet[:1:1], 2, 0, 1) // without properties
			}
			c = connectRaw(t, s, mqtt311, "three", "", 0)
			c.send(test.packet)
			if first, body := c.expectClosed(); first != 0 {
				t.Errorf("version 3.1.1 was told %x %x", first, body)
			}
			witness.expectSilence()
		})
	}
	sink.count(t, 0)
}

// What of MQTT 5 is not offered, or wrong, is said by its own code.
func TestMalformedProperties(t *testing.T) {
	tests := []struct {
		name   string
		packet []byte
		code   byte
	}{
		{"alias", packet(0x30, str("a"), []byte{3, 35, 0, 1}), 0x94},
		{"no topic", packet(0x30, str(""), []byte{0}), 0x94},
		{"subscription identifier in PUBLISH", packet(0x30, str("a"), []byte{2, 11, 1}), 0x82},
		{"subscription identifier", packet(0x82, []byte{0, 1, 2, 11, 1}, str("a"), []byte{0}), 0xA1},
		{"unknown property", packet(0x30, str("a"), []byte{2, 99, 1}), 0x81},
		{"property of another packet", packet(0x30, str("a"), []byte{3, 33, 0, 1}), 0x81},
		{"longer than the packet", packet(0x30, str("a"), []byte{9, 1, 1}), 0x81},
		{"expiry twice", packet(0x30, str("a"), []byte{10, 2, 0, 0, 0, 1, 2, 0, 0, 0, 1}), 0x82},
		{"runs into the payload", packet(0x30, str("a"), []byte{2, 2, 0}, []byte("payload")), 0x81},
		{"length without end", packet(0x30, str("a"), []byte{0x80}), 0x81},
		{"more than 64 KiB", packet(0x30, str("a"), appendVarint(nil, 70000), make([]byte, 70000)), 0x95},
		{"reserved options", packet(0x82, []byte{0, 1, 0}, str("a"), []byte{0xC0}), 0x81},
		{"retain handling 3", packet(0x82, []byte{0, 1, 0}, str("a"), []byte{0x30}), 0x81},
	}
	s, _ := start(t, Options{Sink: &testSink{}})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := connectRaw(t, s, mqtt5, "five", "", 0)
			c.send(test.packet)
			if first, body := c.expectClosed(); first != 0xE0 || body[0] != test.code {
				t.Errorf("it was told %x %x, want %x", first, body, test.code)
			}
		})
	}
}

func TestConnect(t *testing.T) {
	tests := []struct {
		name   string
		packet []byte
		answer []byte // nil: none, but the end
	}{
		{"3.1", connectPacket(mqtt31, "c", "w", 60), []byte{0x20, 2, 0, 0}},
		{"3.1.1", connectPacket(mqtt311, "c", "w", 60), []byte{0x20, 2, 0, 0}},
		{"3.1.1 without id", connectPacket(mqtt311, "", "", 60), []byte{0x20, 2, 0, 0}},
		{"3.1.1 kept session", packet(0x10, str("MQTT"), []byte{4, 0, 0, 60}, str("c")), []byte{0x20, 2, 0, 0}},
		{"3.1.1 kept session without id", packet(0x10, str("MQTT"), []byte{4, 0, 0, 60}, str("")), []byte{0x20, 2, 0, 2}},
		{"3.1 without id", connectPacket(mqtt31, "", "", 60), []byte{0x20, 2, 0, 2}},
		{"id too long", connectPacket(mqtt311, strings.Repeat("x", 1025), "", 60), []byte{0x20, 2, 0, 2}},
		{"id too long in 5", connectPacket(mqtt5, strings.Repeat("x", 1025), "", 60), []byte{0x20, 3, 0, 0x85, 0}},
		{"bridge", connectPacket(0x84, "c", "", 60), []byte{0x20, 2, 0, 1}},
		{"version 6", connectPacket(6, "c", "", 60), []byte{0x20, 2, 0, 1}},
		{"not MQTT", packet(0x10, str("HTTP"), []byte{4, 2, 0, 60}, str("c")), nil},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), nil},
		{"first is PUBLISH", []byte{0x30, 3, 0, 1, 'a'}, nil},
		{"first is PINGREQ", []byte{0xC0, 0}, nil},
		{"reserved flag", packet(0x10, str("MQTT"), []byte{4, 3, 0, 60}, str("c")), nil},
		{"will QoS 3", packet(0x10, str("MQTT"), []byte{4, 2 | 4 | 3<<3, 0, 60}, str("c"), str("w"), str("")), nil},
		{"will QoS without will", packet(0x10, str("MQTT"), []byte{4, 2 | 1<<3, 0, 60}, str("c")), nil},
		{"will topic #", packet(0x10, str("MQTT"), []byte{4, 2 | 4, 0, 60}, str("c"), str("#"), str("")), nil},
		{"will with empty payload", packet(0x10, str("MQTT"), []byte{4, 2 | 4, 0, 60}, str("c"), str("w"), str("")), []byte{0x20, 2, 0, 0}},
		{"user and password", packet(0x10, str("MQTT"), []byte{4, 2 | 0xC0, 0, 60}, str("c"), str("u"), str("")), []byte{0x20, 2, 0, 0}},
		{"password without user", packet(0x10, str("MQTT"), []byte{4, 2 | 0x40, 0, 60}, str("c"), str("p")), nil},
		{"password without user in 5", packet(0x10, str("MQTT"), []byte{5, 2 | 0x40, 0, 60, 0}, str("c"), str("p")), encodeConnack(connect{version: 5, clean: true}, false, Options{ReceiveMax: 100, MaxMessageSize: 4 << 20})},
		{"id not UTF-8", connectPacket(mqtt311, "\xff", "", 60), nil},
		{"id not UTF-8 in 5", connectPacket(mqtt5, "\xff", "", 60), []byte{0x20, 3, 0, 0x81, 0}},
		{"receive maximum 0", packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 3, 33, 0, 0}, str("c")), []byte{0x20, 3, 0, 0x82, 0}},
		{"maximum packet size 0", packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 5, 39, 0, 0, 0, 0}, str("c")), []byte{0x20, 3, 0, 0x82, 0}},
		{"receive maximum twice", packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 6, 33, 0, 1, 33, 0, 1}, str("c")), []byte{0x20, 3, 0, 0x82, 0}},
		{"more than its content", packet(0x10, str("MQTT"), []byte{4, 2, 0, 60}, str("c"), []byte{0}), nil},
		{"less than its content", packet(0x10, str("MQTT"), []byte{4, 2 | 4, 0, 60}, str("c")), nil},
		{"enhanced authentication", packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 4, 21, 0, 1, 'x'}, str("c")), []byte{0x20, 3, 0, 0x8C, 0}},
		{"too long", []byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, nil},
	}
	s, log := start(t, Options{Sink: &testSink{}})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := dialRaw(t, s)
			c.send(test.packet)
			if test.answer != nil {
				c.expect(test.answer)
			}
			if test.answer != nil && test.answer[3] == 0 {
				c.expectSilence()
				return
			}
			if first, body := c.expectClosed(); first != 0 {
				t.Errorf("got %x %x", first, body)
			}
		})
	}
	if n := log.count("kept only while it is connected"); n != 1 {
		t.Errorf("%d log lines on sessions, want one per client", n)
	}
}

// A client of MQTT 5 without an id is told which it got.
func TestAssignedID(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := dialRaw(t, s)
	c.send(connectPacket(mqtt5, "", "", 60))
	if first, body := c.read(); first != 0x20 || body[1] != 0 || !bytes.Contains(body, []byte("auto-")) {
		t.Errorf("got %x %q", first, body)
	}
}

// A CONNECT that trickles in has to be there in time.
func TestSlowConnect(t *testing.T) {
	const limit = time.Second
	s, log := start(t, Options{Sink: &testSink{}, connectTimeout: limit})
	c := dialRaw(t, s)
	b := connectPacket(mqtt311, strings.Repeat("slow", 200), "", 60)
	began := time.Now()
	tick := time.NewTicker(limit / 20)
	defer tick.Stop()
	gone := make(chan struct{})
	go func() {
		io.ReadAll(c)
		close(gone)
	}()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
			c.Write(b[i : i+1])
		case <-gone:
			if took := time.Since(began); took < limit*9/10 {
				t.Errorf("closed after %v", took)
			}
			log.wait(t, errNoConnect.Error())
			return
		}
	}
}

// Announced lengths cost nothing until the bytes are there.
func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	const packets = 100
	data := append(appendVarint([]byte{0x32}, 6<<20), 0, 1, 'a', 0, 1, 'x')
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range packets {
		in := newPacketReader(bytesConn{Reader: bytes.NewReader(data)}, 7<<20)
		h, err := in.next()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.publish(h); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / packets; each > 256<<10 {
		t.Errorf("%d KiB were allocated for a packet of 1 byte that announced 6 MiB", each>>10)
	}
}

// A SUBSCRIBE with 64k filters is answered, and grants no more than allowed.
func TestManyFilters(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt311, "c", "", 0)
	body := []byte{0, 1}
	for i := range 65536 {
		body = append(append(body, str(fmt.Sprint("t/", i))...), 1)
	}
	c.send(packet(0x82, body))
	first, codes := c.read()
	if granted := bytes.Count(codes[2:], []byte{1}); first != 0x90 || len(codes) != 2+65536 || granted != maxFilters {
		t.Errorf("%x with %d codes, %d granted", first, len(codes), granted)
	}
	c.expectSilence()
	c.Close()
	until(t, s, "the subscriptions are gone", func(Stats) bool { return s.topics.count.Load() == 0 })
}

// A client that asks and never reads the answers is not read any more, and
// disconnected in the end. The pipe has no buffer that would take them.
func TestClientThatOnlyAsks(t *testing.T) {
	s, log := start(t, Options{Sink: &testSink{}})
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		s.serve(server, s.endpoints[0])
		close(served)
	}()
	client.Write(connectPacket(mqtt311, "c", "", 1))
	if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for { // ends when the server closes
		n, err := client.Write([]byte{0xC0, 0})
		if asked += n; err != nil {
			break
		}
	}
	// So many wait, as many may be in the write that does not end.
	if limit := 2*maxReplies + 2*readBuffer; asked > limit {
		t.Errorf("%d bytes of questions were read, want at most %d", asked, limit)
	}
	<-served
	log.wait(t, errUnread)
}

func TestListenErrors(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	_, err := Listen(context.Background(), Options{Endpoints: []Endpoint{{Addr: s.Addr().String()}}, Sink: &testSink{}})
	if err == nil || !strings.Contains(err.Error(), "set mqtt.listen to another port") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := Listen(context.Background(), Options{Endpoints: []Endpoint{{Addr: "127.0.0.1:0"}}}); err == nil {
		t.Error("no sink was accepted")
	}
}
