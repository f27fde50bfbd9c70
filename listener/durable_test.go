package listener

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// house is a local broker on a runtime.
type house struct {
	t      testing.TB
	store  persistence.Store
	rt     *runtime.Runtime
	server *Server
	end    func()
}

// runtimeSink is a runtime as a Sink.
type runtimeSink struct{ *runtime.Runtime }

func (s runtimeSink) Publish(messages []types.Passage, room func()) int {
	return s.RouteAll(messages, room)
}

func openHouse(t testing.TB, store persistence.Store, change func(*config.Config)) *house {
	t.Helper()
	h := &house{t: t, store: store}
	var cfg config.Config
	if change != nil {
		change(&cfg)
	}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	local := NewLocal(nil)
	var err error
	h.rt, err = runtime.Open(context.Background(), runtime.Options{
		Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}), Local: local,
		Dialer: func(config.Connection) (broker.Dialer, error) { return nowhere{}, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Sink: runtimeSink{h.rt}, Sessions: h.rt, Local: local}
	o.Endpoints = []Endpoint{{Addr: "127.0.0.1:0"}}
	if h.server, err = Listen(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	h.end = func() {
		h.end = func() {}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.server.Close(ctx)
		h.rt.Close(ctx) // fails after a kill
	}
	t.Cleanup(func() { h.end() })
	return h
}

// kill is kill -9 and a new start.
func (h *house) kill() *house {
	h.t.Helper()
	store := h.store.(*memory.Store).Kill()
	h.end()
	return openHouse(h.t, store, nil)
}

// keptPacket is a CONNECT with a session that is to be kept.
func keptPacket(version byte, id string, expiry uint32) []byte {
	parts := [][]byte{str("MQTT"), {version, 0, 0, 60}}
	if version == mqtt5 {
		parts = append(parts, []byte{5, 0x11}, binary.BigEndian.AppendUint32(nil, expiry))
	}
	return packet(0x10, append(parts, str(id))...)
}

// connectKept connects with a session that is kept.
func (h *house) connectKept(id string, present bool) *rawClient {
	h.t.Helper()
	c := dialRaw(h.t, h.server)
	c.send(keptPacket(mqtt311, id, 0))
	first, body := c.read()
	want := byte(0)
	if present {
		want = 1
	}
	if first != 0x20 || body[0] != want || body[1] != 0 {
		h.t.Fatalf("CONNECT of %s was answered with %x %x, want session present %v", id, first, body, present)
	}
	return c
}

// publish publishes and waits until that is committed.
func (h *house) publish(topic, text string, qos types.QoS, retain bool) {
	h.t.Helper()
	done := make(chan error, 1)
	m := types.Message{Topic: topic, Payload: []byte(text), QoS: qos, Retain: retain}
	if !h.rt.Route(m, types.Origin{}, func(err error) { done <- err }, func() {}) {
		h.t.Fatal("no room")
	}
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
	h.server.Deliver(m) // what the writer of a client does
}

// settle waits until so many messages are pending in _local.
func (h *house) pending(n uint64) {
	h.t.Helper()
	h.pendingFrom(n, n)
}

// pendingFrom is pending for so many or more, up to most.
func (h *house) pendingFrom(n, most uint64) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		all := h.rt.Status()
		got := all[len(all)-1].Outgoing.Pending
		if got >= n && got <= most {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%d messages are pending, want %d to %d", got, n, most)
		}
	}
}

// take reads a PUBLISH without answering it.
func (c *rawClient) take() (first byte, topic, text string, id uint16) {
	c.t.Helper()
	first, body := c.read()
	if first>>4 != 3 {
		c.t.Fatalf("got packet %x %x instead of a PUBLISH", first, body)
	}
	n := int(binary.BigEndian.Uint16(body))
	topic, body = string(body[2:2+n]), body[2+n:]
	if first&6 != 0 {
		id, body = binary.BigEndian.Uint16(body), body[2:]
	}
	if c.version == mqtt5 {
		body = body[1+int(body[0]):]
	}
	return first, topic, string(body), id
}

// hangUp closes the connection without a word, and waits until that is known.
func (h *house) hangUp(c *rawClient) {
	h.t.Helper()
	c.Close()
	until(h.t, h.server, "the end of the connection", func(s Stats) bool { return s.Clients == 0 })
}

// What was not acknowledged comes again, with DUP and in order, and what came
// meanwhile after it, also when the gateway was killed. UNSUBSCRIBE ends that,
// and a clean CONNECT everything.
func TestSessionIsKept(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	c := h.connectKept("c", false)
	c.subscribe("t/#", 1)
	c.subscribe("u", 1)
	for i := range 3 {
		h.publish("t/1", fmt.Sprint(i), 2, false)
	}
	var ids []uint16
	for i := range 3 {
		first, _, text, id := c.take()
		if first != 0x32 || text != fmt.Sprint(i) {
			t.Fatalf("%x %s", first, text)
		}
		ids = append(ids, id)
	}
	c.send(ackPacket(pubackKind, ids[1]))
	h.pending(2)
	h.hangUp(c)
	h.publish("t/2", "3", 1, false)
	h.publish("t/2", "nothing to keep", 0, false)
	c = h.connectKept("c", true)
	for _, want := range []string{"3a0", "3a2", "323"} {
		first, _, text, _ := c.take()
		if got := fmt.Sprintf("%x%s", first, text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	c.expectSilence()
	for range 2 { // killed while it was there, and after it had gone
		h = h.kill()
		h.publish("v", "nobody's", 1, false)
		h.pending(3)
		c = h.connectKept("c", true)
		for _, want := range []string{"0", "2", "3"} {
			first, _, text, _ := c.take()
			if first != 0x3a || text != want {
				t.Errorf("got %x %s, want it again: %s", first, text, want)
			}
		}
		h.hangUp(c)
	}
	c = h.connectKept("c", true)
	for range 3 {
		_, _, _, id := c.take()
		c.send(ackPacket(pubackKind, id))
	}
	h.pending(0)
	c.send(packet(0xa2, []byte{0, 7}, str("t/#")))
	c.expect(packet(0xb0, []byte{0, 7}))
	h.hangUp(c)
	h.publish("t/1", "not for it any more", 1, false)
	h.publish("u", "still", 1, false)
	h.pending(1)
	connectRaw(t, h.server, mqtt311, "c", "", 60) // clean
	h.pending(0)
	h = h.kill()
	h.connectKept("c", false)
}

// A client whose messages and ours have the same packet ids at the same time
// loses nothing, in either direction.
func TestCollidingPacketIDs(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	c := h.connectKept("c", false)
	c.subscribe("to/#", 2)
	got := map[string]int{}
	const n = 50
	for i := range n {
		qos := types.QoS(1 + i%2)
		h.publish("to/it", fmt.Sprint(i), qos, false)
		first, _, text, id := c.take()
		got[text]++
		kind := byte(pubackKind)
		if first&6 == 4 {
			kind = pubrecKind
		}
		// It uses our packet id for a message of its own, of either QoS, while ours
		// is under way.
		own := types.QoS(1 + i/2%2)
		c.publish("to/all", fmt.Sprintf("own %d", i), own, id, false)
		for answered, mine := false, false; !answered || !mine; {
			first, body := c.read()
			switch first {
			case 0x40, 0x50: // of our own message
				if binary.BigEndian.Uint16(body) != id {
					t.Fatalf("answer %x %x", first, body)
				}
				answered = true
			case 0x32, 0x34:
				body = body[2+int(binary.BigEndian.Uint16(body)):]
				back := binary.BigEndian.Uint16(body)
				if back == id {
					t.Fatalf("packet id %d is used for two messages", id)
				}
				got[string(body[2:])]++
				mine = true
				if first == 0x32 {
					c.send(ackPacket(pubackKind, back))
				} else {
					c.send(ackPacket(pubrecKind, back))
					c.expect([]byte{0x62, 2, byte(back >> 8), byte(back)})
					c.send(ackPacket(pubcompKind, back))
				}
			default:
				t.Fatalf("packet %x %x", first, body)
			}
		}
		c.send(ackPacket(kind, id))
		if kind == pubrecKind {
			c.expect([]byte{0x62, 2, byte(id >> 8), byte(id)})
			c.send(ackPacket(pubcompKind, id))
		}
		if own == 2 {
			c.send([]byte{0x62, 2, byte(id >> 8), byte(id)})
			c.expect(ackPacket(pubcompKind, id))
		}
	}
	for i := range n {
		if got[fmt.Sprint(i)] != 1 || got[fmt.Sprintf("own %d", i)] != 1 {
			t.Errorf("message %d came %d times, its own one %d times", i, got[fmt.Sprint(i)], got[fmt.Sprintf("own %d", i)])
		}
	}
	h.pending(0)
}

// S5.4, S3: a QoS 2 message to a session is delivered exactly once, whichever step
// of its handshake the gateway is killed or the connection cut after.
func TestExactlyOnceToASession(t *testing.T) {
	steps := []string{"PUBLISH", "PUBREC", "PUBREL", "PUBCOMP"}
	for cut, step := range steps {
		for _, how := range []string{"cut", "kill"} {
			t.Run(how+" after "+step, func(t *testing.T) {
				h := openHouse(t, memory.New(memory.Options{}), nil)
				c := h.connectKept("c", false)
				c.subscribe("t", 2)
				h.publish("t", "first", 2, false)
				delivered := []string{}
				known := map[uint16]bool{}
				_, _, text, id := c.take()
				known[id] = true
				delivered = append(delivered, text)
				if cut >= 1 {
					c.send(ackPacket(pubrecKind, id))
				}
				if cut >= 2 {
					c.expect([]byte{0x62, 2, byte(id >> 8), byte(id)})
					delete(known, id)
				}
				if cut >= 3 {
					c.send(ackPacket(pubcompKind, id))
					c.expectSilence()
				}
				if how == "kill" {
					h = h.kill()
				} else {
					h.hangUp(c)
				}
				h.publish("t", "second", 2, false)
				c = h.connectKept("c", true)
				for len(delivered) < 2 || len(known) > 0 {
					first, body := c.read()
					if first == 0x62 {
						id := binary.BigEndian.Uint16(body)
						delete(known, id)
						c.send(ackPacket(pubcompKind, id))
						continue
					}
					id := binary.BigEndian.Uint16(body[3:])
					if !known[id] {
						delivered = append(delivered, string(body[5:]))
						known[id] = true
					} else if first != 0x3c {
						t.Errorf("it came again as %x", first)
					}
					c.send(ackPacket(pubrecKind, id))
				}
				if !slices.Equal(delivered, []string{"first", "second"}) {
					t.Errorf("delivered %q", delivered)
				}
				c.expectSilence()
				h.pending(0)
			})
		}
	}
}

// Clearing gives up what waits, and finishes the handshake of what was sent.
func TestClearOfASession(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	c := h.connectKept("c", false)
	c.subscribe("t", 2)
	h.publish("t", "1", 2, false)
	h.publish("t", "2", 1, false)
	_, _, _, id := c.take()
	_, _, _, second := c.take()
	h.publish("kept", "value", 1, true)
	if n, err := h.rt.Clear(t.Context(), "_local", types.Selection{}); err != nil || n != 2 {
		t.Fatalf("cleared %d, %v", n, err)
	}
	h.hangUp(c)
	c = h.connectKept("c", true)
	c.expect([]byte{0x62, 2, byte(id >> 8), byte(id)}) // it is not published again
	c.send(ackPacket(pubcompKind, id), ackPacket(pubackKind, second))
	c.subscribe("kept", 1)
	if _, _, text, _ := c.take(); text != "value" {
		t.Errorf("retained: %q", text)
	}
	h.publish("t", "3", 2, false)
	if _, _, text, _ := c.take(); text != "3" {
		t.Errorf("then came %q", text)
	}
}

// Retained messages survive kill -9: the newest of each topic, and none where an
// empty one was published. A session gets those for a new subscription as it gets
// others: also if it was not there when they left.
func TestRetainedMessagesAreStored(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	for i := range 20 {
		h.publish(fmt.Sprintf("r/%d", i%4), fmt.Sprint(i), types.QoS(i%3), true)
	}
	h.publish("r/0", "", 1, true)
	for range 2 {
		h = h.kill()
		c := connectRaw(t, h.server, mqtt311, "live", "", 60)
		c.subscribe("r/#", 0)
		var got []string
		for range 3 {
			first, topic, text, _ := c.take()
			if first != 0x31 {
				t.Errorf("%x", first)
			}
			got = append(got, topic+"="+text)
		}
		c.expectSilence()
		if slices.Sort(got); !slices.Equal(got, []string{"r/1=17", "r/2=18", "r/3=19"}) {
			t.Errorf("retained: %q", got)
		}
		h.hangUp(c)
	}
	c := h.connectKept("kept", false)
	c.subscribe("r/#", 2)
	texts := map[string]int{}
	for range 3 {
		_, _, text, _ := c.take()
		texts[text]++
	}
	h.hangUp(c)
	h = h.kill()
	c = h.connectKept("kept", true)
	for range 2 { // what was stored with QoS 0 is not repeated
		first, _, text, id := c.take()
		if first&^byte(6) != 0x39 || texts[text] != 1 {
			t.Errorf("%x %s", first, text)
		}
		c.send(ackPacket([]byte{pubackKind, pubrecKind}[first>>2&1], id))
	}
	h.pending(0)
}

// A copy of a retained message that is no longer current by the time it would be
// sent is not, so that no old value comes after a newer one.
func TestNoOldValueAfterANewerOne(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	random := rand.New(rand.NewPCG(3, 4))
	h.publish("v", "0", 1, true)
	publishing := make(chan struct{})
	defer func() { <-publishing }()
	go func() {
		defer close(publishing)
		for i := range 300 {
			h.publish("v", fmt.Sprint(i+1), 1, true)
		}
	}()
	for i := 0; ; i++ {
		c := h.connectKept(fmt.Sprint("c", i), false)
		c.send(subscribePacket(mqtt311, 9, "v", 1))
		last := -1
		for range 2 + random.IntN(4) {
			first, body := c.read()
			if first == 0x90 { // it may come between them [MQTT-3.8.4]
				continue
			}
			id := binary.BigEndian.Uint16(body[3:])
			var n int
			fmt.Sscan(string(body[5:]), &n)
			if n < last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
			c.send(ackPacket(pubackKind, id))
			if n == 300 {
				return
			}
		}
		c.Close()
	}
}

// Another connection with the same client id takes the session over.
func TestTakeOver(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	c := h.connectKept("c", false)
	c.subscribe("t", 1)
	for i := range 300 {
		h.publish("t", fmt.Sprint(i), 1, false)
	}
	for i := range 5 {
		_, _, _, id := c.take()
		if i < 3 {
			c.send(ackPacket(pubackKind, id))
		}
	}
	h.pending(297)
	c2 := h.connectKept("c", true)
	c.expectClosed()
	for i := range 297 {
		first, _, text, id := c2.take()
		if text != fmt.Sprint(i+3) {
			t.Fatalf("message %d is %s", i+3, text)
		}
		if i < 2 && first&8 == 0 {
			t.Errorf("%s came again without DUP", text)
		}
		c2.send(ackPacket(pubackKind, id))
	}
	h.pending(0)
}

// A client of MQTT 5 that comes back without saying how long its session is to be
// kept gets what was stored for it; then the session ends.
func TestLastVisitOfMQTT5(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	connect := func(expiry uint32, present byte) *rawClient {
		t.Helper()
		c := dialRaw(t, h.server)
		c.version = mqtt5
		c.send(keptPacket(mqtt5, "c", expiry))
		if first, body := c.read(); first != 0x20 || body[0] != present || body[1] != 0 {
			t.Fatalf("%x %x", first, body)
		}
		return c
	}
	c := connect(60, 0)
	c.subscribe("t", 1)
	h.hangUp(c)
	h.publish("t", "stored", 1, false)
	c = connect(0, 1)
	if _, _, text, id := c.take(); text != "stored" {
		t.Fatalf("got %q", text)
	} else {
		c.send(ackPacket(pubackKind, id))
	}
	h.publish("t", "live", 1, false)
	if _, _, text, _ := c.take(); text != "live" {
		t.Fatalf("got %q", text)
	}
	h.hangUp(c)
	h.pending(0)
	h.hangUp(connect(0, 0))
	connect(60, 0)
}

// A client of MQTT 5 says how long its session is to be kept, and learns if that
// is less; it can end it with DISCONNECT.
func TestSessionExpiryOfMQTT5(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), func(c *config.Config) { c.SessionExpiry = time.Hour })
	connect := func(expiry uint32, present byte) *rawClient {
		t.Helper()
		c := dialRaw(t, h.server)
		c.version = mqtt5
		c.send(keptPacket(mqtt5, "c", expiry))
		first, body := c.read()
		if first != 0x20 || body[0] != present || body[1] != 0 {
			t.Fatalf("%x %x", first, body)
		}
		limited := slices.Contains([]uint32{3601, 1<<32 - 1}, expiry)
		if said := string(body[2:]) != "" && slices.Index(body[3:], 0x11) >= 0 && binary.BigEndian.Uint32(body[4+slices.Index(body[3:], 0x11):]) == 3600; said != limited {
			t.Errorf("expiry %d: the answer is %x", expiry, body)
		}
		return c
	}
	c := connect(1<<32-1, 0)
	h.hangUp(c)
	c = connect(3601, 1)
	h.hangUp(c)
	c = connect(60, 1)
	c.send(packet(0xe0, []byte{0, 5, 0x11, 0, 0, 0, 0}))
	c.expectClosed()
	until(t, h.server, "the end of the connection", func(s Stats) bool { return s.Clients == 0 })
	c = connect(0, 0)
	h.hangUp(c)
	connect(60, 0)
}

// mosquitto's client gets what it missed, in order, in every version that has
// sessions and at both QoS, though the gateway was killed.
func TestMosquittoComesBack(t *testing.T) {
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for qos := types.QoS(1); qos <= 2; qos++ {
			t.Run(fmt.Sprint(version, " QoS ", qos), func(t *testing.T) {
				h := openHouse(t, memory.New(memory.Options{}), nil)
				args := []string{"-V", version, "-i", "away", "-c", "-t", "m/#", "-q", fmt.Sprint(qos)}
				if version == "mqttv5" {
					args = append(args, "-x", "3600")
				}
				mosquitto(t, h.server, "mosquitto_sub", append(args, "-E")...)
				var want strings.Builder
				for i := range 500 {
					h.publish("m/1", fmt.Sprint(i), qos, false)
					fmt.Fprintln(&want, i)
				}
				h = h.kill()
				out := mosquittoSub(t, h.server, 500, args...)()
				if string(out) != want.String() {
					t.Errorf("got %d bytes, want %d:\n%s", len(out), want.Len(), out)
				}
			})
		}
	}
}
