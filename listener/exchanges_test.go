package listener

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// nowhere is a broker that cannot be reached.
type nowhere struct{}

// Dial implements broker.Dialer.
func (nowhere) Dial(context.Context, broker.ConnectOptions, func(broker.Event)) (broker.Link, broker.Session, error) {
	return nil, broker.Session{}, errors.New("there is nobody")
}

// twoConnections get everything that is published, but for the topics of the other.
func twoConnections(c *config.Config) {
	for _, name := range []string{"a", "b"} {
		c.Connections = append(c.Connections, config.Connection{
			Name: name, Broker: "mqtt://" + name, ClientID: name,
			Forward: []config.Forward{{Topic: "t/#"}, {Topic: name + "/#"}},
		})
	}
}

// twoQueues is a house whose clients publish to two connections, on a store that can
// be held up.
func twoQueues(t testing.TB) (*house, *faultstore.Store) {
	store := faultstore.New(memory.New(memory.Options{}))
	return openHouse(t, store, twoConnections), store
}

// crash is kill -9 and a new start of such a house.
func (h *house) crash() *house {
	h.t.Helper()
	store, err := h.store.(*faultstore.Store).Crash(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.store.(*faultstore.Store).Before(nil)
	h.end()
	return openHouse(h.t, store, twoConnections)
}

// stored are the payloads in the queue of a connection.
func (h *house) stored(connection string) string {
	h.t.Helper()
	list, err := h.rt.Connection(connection).Messages(h.t.Context(), types.Outgoing, 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	var texts []string
	for _, m := range list {
		texts = append(texts, string(m.Message.Payload))
	}
	return strings.Join(texts, " ")
}

func (h *house) expectStored(a, b string) {
	h.t.Helper()
	if gotA, gotB := h.stored("a"), h.stored("b"); gotA != a || gotB != b {
		h.t.Errorf("stored %q and %q, want %q and %q", gotA, gotB, a, b)
	}
}

// until waits for a state that has no event.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); goruntime.Gosched() {
		if time.Now().After(end) {
			h.t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// connectAs connects with a session that is kept.
func (h *house) connectAs(version byte, id string) *rawClient {
	h.t.Helper()
	c := dialRaw(h.t, h.server)
	c.version = version
	c.send(keptPacket(version, id, 3600))
	if first, body := c.read(); first != 0x20 || body[1] != 0 {
		h.t.Fatalf("CONNECT was answered with %x %x", first, body)
	}
	return c
}

// startCleanly connects with a new session that is kept.
func (h *house) startCleanly(id string) *rawClient {
	h.t.Helper()
	c := dialRaw(h.t, h.server)
	c.version = mqtt5
	parts := [][]byte{str("MQTT"), {mqtt5, 2, 0, 60}, binary.BigEndian.AppendUint32([]byte{5, 0x11}, 3600), str(id)}
	c.send(packet(0x10, parts...))
	if first, body := c.read(); first != 0x20 || body[0] != 0 || body[1] != 0 {
		h.t.Fatalf("CONNECT was answered with %x %x", first, body)
	}
	return c
}

// expectAnswer reads PUBREC or PUBCOMP that says that all is well.
func (c *rawClient) expectAnswer(kind byte, id uint16) {
	c.t.Helper()
	c.expect(ackPacket(kind, id))
}

// gate holds up the Write number n, from now on, of a queue.
func gate(store *faultstore.Store, queue string, n int) (reached, open chan struct{}) {
	reached, open = make(chan struct{}), make(chan struct{})
	store.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Op != faultstore.Write || c.Queue != queue {
			return nil
		}
		if n--; n == 0 {
			close(reached)
			<-open
		}
		return nil
	})
	return reached, open
}

// S2.1: a client that does as the standard says gets each message stored once in each
// queue, whenever the gateway is killed; and the id is free for another message with
// the same content.
func TestQoS2PublisherAcrossKills(t *testing.T) {
	const id = 5
	publish := func(c *rawClient, dup bool) { c.publish("t/x", "m", 2, id, dup) }
	release := func(c *rawClient) { c.send(ackPacket(pubrelKind, id)) }
	points := []struct {
		name string
		// before brings the client and the gateway to the moment of the crash, and
		// says what to do once that has happened.
		before   func(h *house, c *rawClient, store *faultstore.Store) (crashed func())
		recorded bool   // the client has PUBREC
		a, b     string // stored then
	}{
		{"before the commits", func(_ *house, c *rawClient, store *faultstore.Store) func() {
			reachedA, openA := gate(store, "a/outgoing", 1)
			publish(c, false)
			<-reachedA
			return func() { close(openA) }
		}, false, "", "m"}, // b may have it
		{"between the commits", func(h *house, c *rawClient, store *faultstore.Store) func() {
			reached, open := gate(store, "b/outgoing", 1)
			publish(c, false)
			<-reached
			h.until("a commit of a", func() bool { return h.stored("a") == "m" })
			return func() { close(open) }
		}, false, "m", ""},
		{"committed, without PUBREC", func(_ *house, c *rawClient, _ *faultstore.Store) func() {
			publish(c, false)
			c.expectAnswer(pubrecKind, id) // the client does not hear of it
			return func() {}
		}, false, "m", "m"},
		{"PUBREC", func(_ *house, c *rawClient, _ *faultstore.Store) func() {
			publish(c, false)
			c.expectAnswer(pubrecKind, id)
			return func() {}
		}, true, "m", "m"},
		{"PUBREL, which is not recorded", func(_ *house, c *rawClient, store *faultstore.Store) func() {
			publish(c, false)
			c.expectAnswer(pubrecKind, id)
			reached, open := gate(store, "a/outgoing", 1)
			release(c)
			<-reached
			return func() { close(open) }
		}, true, "m", "m"},
		{"PUBREL, which is recorded in one queue", func(h *house, c *rawClient, store *faultstore.Store) func() {
			publish(c, false)
			c.expectAnswer(pubrecKind, id)
			reached, open := gate(store, "b/outgoing", 1)
			release(c)
			<-reached
			h.until("a commit of a", func() bool { return store.Calls(faultstore.Sync) > 2 })
			return func() { close(open) }
		}, true, "m", "m"},
		{"recorded, without PUBCOMP", func(_ *house, c *rawClient, _ *faultstore.Store) func() {
			publish(c, false)
			c.expectAnswer(pubrecKind, id)
			release(c)
			c.expectAnswer(pubcompKind, id) // the client does not hear of it
			return func() {}
		}, true, "m", "m"},
	}
	for _, version := range []byte{mqtt311, mqtt5} {
		for _, p := range points {
			t.Run(fmt.Sprintf("%s, version %d", p.name, version), func(t *testing.T) {
				h, store := twoQueues(t)
				c := h.connectAs(version, "c")
				crashed := p.before(h, c, store)
				crash, err := store.Crash(nil)
				if err != nil {
					t.Fatal(err)
				}
				crashed()
				h.end()
				h = openHouse(t, crash, twoConnections)
				if a, b := h.stored("a"), h.stored("b"); a != p.a || b != p.b && p.b != "m" {
					t.Fatalf("the crash left %q and %q", a, b)
				}
				c = h.connectAs(version, "c")
				if !p.recorded {
					publish(c, true)
					c.expectAnswer(pubrecKind, id)
				}
				h.expectStored("m", "m")
				release(c)
				first, body := c.read()
				if first != pubcompKind<<4 || body[1] != id {
					t.Fatalf("PUBREL was answered with %x %x", first, body)
				}
				publish(c, false)
				c.expectAnswer(pubrecKind, id)
				h.expectStored("m m", "m m")
				publish(c, true)
				c.expectAnswer(pubrecKind, id)
				release(c)
				c.expectAnswer(pubcompKind, id)
				h.expectStored("m m", "m m")
			})
		}
	}
}

// S2.1: an id that is used for another content, without DUP or with it, is another
// message; a clean CONNECT ends what was open before.
func TestQoS2IDsThatAreUsedAgain(t *testing.T) {
	clean := func(h *house) {
		c := connectRaw(t, h.server, mqtt311, "c", "", 60)
		h.hangUp(c)
	}
	cleanStart := func(h *house) { h.hangUp(h.startCleanly("c")) }
	tests := []struct {
		name    string
		between func(*house)
		text    string
		dup     bool
		want    string
	}{
		{"repeated with DUP", nil, "m", true, "m"},
		{"repeated without DUP", nil, "m", false, "m"},
		{"another content", nil, "other", false, "m other"},
		{"another content, the repeat of what never came", nil, "other", true, "m other"},
		{"after a clean CONNECT", clean, "m", false, "m m"},
		{"repeated after a clean CONNECT", clean, "m", true, "m m"},
		{"after a clean start of a session that is kept", cleanStart, "m", true, "m m"},
	}
	for _, crash := range []bool{false, true} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s, crash %v", test.name, crash), func(t *testing.T) {
				h, _ := twoQueues(t)
				c := h.connectAs(mqtt311, "c")
				c.publish("t/x", "m", 2, 5, false)
				c.expectAnswer(pubrecKind, 5)
				if crash {
					h = h.crash()
				} else {
					h.hangUp(c)
				}
				if test.between != nil {
					test.between(h)
				}
				c = h.connectAs(mqtt311, "c")
				c.publish("t/x", test.text, 2, 5, test.dup)
				c.expectAnswer(pubrecKind, 5)
				h.expectStored(test.want, test.want)
			})
		}
	}
}

// A client that takes its session over from a connection that is still there, with
// its message on the way into the queues, finds it stored once; who has connected
// cleanly does not have what the connection before has left behind count as his.
func TestQoS2AndTakeover(t *testing.T) {
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean %v", clean), func(t *testing.T) {
			h, store := twoQueues(t)
			first := h.connectAs(mqtt311, "c")
			reached, open := gate(store, "b/outgoing", 1)
			first.publish("t/x", "m", 2, 5, false)
			<-reached
			var second *rawClient
			want := "m"
			if clean {
				// The end of what was before waits for the queues: it is not let in
				// before that.
				second = dialRaw(t, h.server)
				second.send([]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'c'})
			} else {
				second = h.connectAs(mqtt311, "c")
				second.publish("t/x", "m", 2, 5, true)
			}
			close(open)
			if clean {
				second.expect([]byte{0x20, 2, 0, 0})
				h.hangUp(second)
				second = h.connectAs(mqtt311, "c")
				second.publish("t/x", "m", 2, 5, false)
				want = "m m"
			}
			second.expectAnswer(pubrecKind, 5)
			h.expectStored(want, want)
		})
	}
}

// What a connection that has said goodbye leaves waiting is stored after its client
// has begun anew, and is not what the new session's messages are compared with.
func TestQoS2BehindAGoodbye(t *testing.T) {
	h, store := twoQueues(t)
	const n = defaultReceiveMax + 50
	first := h.connectAs(mqtt5, "c")
	reached, open := gate(store, "b/outgoing", 1)
	for id := range uint16(n) {
		first.publish("b/x", "m", 2, id+1, false)
	}
	first.send([]byte{0xE0, 0})
	<-reached
	h.until("the goodbye", func() bool { return h.server.Stats().Clients == 0 })
	go close(open)
	second := h.startCleanly("c")
	second.publish("b/x", "m", 2, n, true)
	second.expectAnswer(pubrecKind, n)
	if got := strings.Count(h.stored("b"), "m"); got != n+1 {
		t.Errorf("%d messages are stored, want %d", got, n+1)
	}
}

// A client that uses an id again when it has sent PUBREL, and does not wait for
// PUBCOMP, is not believed to repeat itself.
func TestQoS2IDIsUsedAgainTooEarly(t *testing.T) {
	h, store := twoQueues(t)
	c := h.connectAs(mqtt311, "c")
	for id := range uint16(2) {
		c.publish("a/x", "m", 2, id+1, false)
		c.expectAnswer(pubrecKind, id+1)
	}
	reached, open := gate(store, "a/outgoing", 1)
	c.send(ackPacket(pubrelKind, 1))
	<-reached
	c.send(ackPacket(pubrelKind, 2))
	c.publish("a/x", "m", 2, 2, false)
	c.expectSilence()
	close(open)
	for range 3 {
		c.read()
	}
	h.expectStored("m m m", "")
}

// Of a message with several routes each queue has its own part of the truth, also
// when the filters are changed by the topic.
func TestQoS2WhereItBelongs(t *testing.T) {
	h, _ := twoQueues(t)
	c := h.connectAs(mqtt311, "c")
	for i, topic := range []string{"a/x", "b/x", "t/x", "nobody"} {
		c.publish(topic, fmt.Sprint(i), 2, uint16(i+1), false)
		c.expectAnswer(pubrecKind, uint16(i+1))
	}
	h = h.crash()
	c = h.connectAs(mqtt311, "c")
	for i, topic := range []string{"a/x", "b/x", "t/x", "nobody"} {
		c.publish(topic, fmt.Sprint(i), 2, uint16(i+1), true)
		c.expectAnswer(pubrecKind, uint16(i+1))
	}
	h.expectStored("0 2", "1 2")
	for id := range uint16(5) { // and one that never was
		c.send(ackPacket(pubrelKind, id+1))
		c.expectAnswer(pubcompKind, id+1)
	}
}

// Another client with the same packet ids, or another user with the same client id,
// is somebody else.
func TestQoS2IDsAreOfOneClient(t *testing.T) {
	h, _ := twoQueues(t)
	for _, id := range []string{"c", "d"} {
		c := h.connectAs(mqtt311, id)
		c.publish("t/x", "m", 2, 5, false)
		c.expectAnswer(pubrecKind, 5)
	}
	h = h.crash()
	for _, id := range []string{"c", "d", "e"} {
		c := h.connectAs(mqtt311, id)
		c.publish("t/x", "m", 2, 5, true)
		c.expectAnswer(pubrecKind, 5)
	}
	h.expectStored("m m m", "m m m")
}

// PUBCOMP is not sent while it cannot be recorded that the exchange is over: the
// client sends PUBREL again.
func TestPubrelWhileTheStoreIsInTrouble(t *testing.T) {
	h, store := twoQueues(t)
	c := h.connectAs(mqtt311, "c")
	c.publish("t/x", "m", 2, 5, false)
	c.expectAnswer(pubrecKind, 5)
	store.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Op == faultstore.Write && c.Queue == "b/outgoing" {
			return errors.New("disk on fire")
		}
		return nil
	})
	c.send(ackPacket(pubrelKind, 5))
	if first, body := c.expectClosed(); first != 0 {
		t.Errorf("PUBREL was answered with %x %x", first, body)
	}
	h = h.crash()
	c = h.connectAs(mqtt311, "c")
	c.send(ackPacket(pubrelKind, 5))
	c.expectAnswer(pubcompKind, 5)
	c.publish("t/x", "m", 2, 5, true)
	c.expectAnswer(pubrecKind, 5)
	h.expectStored("m m", "m m")
}

// Retained messages, and those for persistent sessions, are stored once as well, and
// who is online gets them once.
func TestQoS2ForLocalClients(t *testing.T) {
	h, _ := twoQueues(t)
	kept := h.connectAs(mqtt311, "kept")
	kept.subscribe("t/#", 2)
	h.hangUp(kept)
	online := connectRaw(t, h.server, mqtt311, "online", "", 60)
	online.subscribe("t/#", 0)
	c := h.connectAs(mqtt311, "c")
	c.send(publishPacket(mqtt311, "t/x", []byte("m"), 2, 5, false, true))
	c.expectAnswer(pubrecKind, 5)
	if m, _ := online.message(); string(m.Payload) != "m" {
		t.Errorf("%q was delivered", m.Payload)
	}
	c.Close()
	c = h.connectAs(mqtt311, "c")
	c.send(publishPacket(mqtt311, "t/x", []byte("m"), 2, 5, true, true))
	c.expectAnswer(pubrecKind, 5)
	online.expectSilence()
	h = h.crash()
	c = h.connectAs(mqtt311, "c")
	c.send(publishPacket(mqtt311, "t/x", []byte("m"), 2, 5, true, true))
	c.expectAnswer(pubrecKind, 5)
	h.expectStored("m", "m")
	h.pending(1)
	late := connectRaw(t, h.server, mqtt311, "late", "", 60)
	late.subscribe("t/#", 0)
	if m, _ := late.message(); string(m.Payload) != "m" || !m.Retain {
		t.Errorf("%+v is retained", m)
	}
	late.expectSilence()
}

// A session that ends with its connection remembers nothing beyond it, and leaves
// nothing behind; nor does a will.
func TestQoS2WithoutASession(t *testing.T) {
	h, _ := twoQueues(t)
	c := connectRaw(t, h.server, mqtt311, "c", "t/will", 60)
	c.publish("t/x", "m", 2, 5, false)
	c.expectAnswer(pubrecKind, 5)
	c.publish("t/x", "m", 2, 5, true)
	c.expectAnswer(pubrecKind, 5)
	h.expectStored("m", "m")
	h.hangUp(c)
	h.until("the will to be stored", func() bool { return h.stored("a") == "m gone" && h.stored("b") == "m gone" })
	c = connectRaw(t, h.server, mqtt311, "c", "", 60)
	c.publish("t/x", "m", 2, 5, true) // the standard has it begin anew
	c.expectAnswer(pubrecKind, 5)
	h.expectStored("m gone m", "m gone m")
}

// Many PUBRELs that come at once take few commits, and each is answered.
func TestManyPubrelsAreRecordedTogether(t *testing.T) {
	h, store := twoQueues(t)
	c := h.connectAs(mqtt311, "c")
	const n = 500
	var packets []byte
	for id := range uint16(n) {
		packets = append(packets, publishPacket(mqtt311, "a/x", []byte("m"), 2, id+1, false, false)...)
	}
	c.send(packets)
	for id := range uint16(n) {
		c.expectAnswer(pubrecKind, id+1)
	}
	before := store.Calls(faultstore.Write)
	packets = nil
	for id := range uint16(n) {
		packets = append(packets, ackPacket(pubrelKind, id+1)...)
	}
	c.send(packets)
	var got []uint16
	for range n {
		_, body := c.read()
		got = append(got, uint16(body[0])<<8|uint16(body[1]))
	}
	if !slices.IsSorted(got) || got[n-1] != n {
		t.Errorf("PUBCOMPs for %v", got)
	}
	if writes := store.Calls(faultstore.Write) - before; writes > n/10 {
		t.Errorf("%d commits for %d PUBRELs", writes, n)
	}
}
