package listener

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// mournedPacket is a CONNECT of MQTT 5 with a will and its delay in seconds.
func mournedPacket(clean bool, expiry, delay uint32) []byte {
	flags := byte(4 | 1<<3)
	if clean {
		flags |= 2
	}
	return packet(0x10, str("MQTT"), []byte{mqtt5, flags, 0, 60},
		[]byte{5, 0x11}, binary.BigEndian.AppendUint32(nil, expiry), str("c"),
		[]byte{5, 0x18}, binary.BigEndian.AppendUint32(nil, delay), str("w/c"), str("gone"))
}

// connect connects with that CONNECT.
func (h *house) connect(version byte, connect []byte) *rawClient {
	h.t.Helper()
	c := dialRaw(h.t, h.server)
	c.version = version
	c.send(connect)
	if first, body := c.read(); first != 0x20 || body[1] != 0 {
		h.t.Fatalf("CONNECT was answered with %x %x", first, body)
	}
	return c
}

// waiting is how many wills wait, and what they take.
func (w *wills) waiting() (n, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byKey), w.bytes
}

// A will is published when its delay has passed or the session ends, and not if
// the client comes back to its session before that [MQTT5-3.1.3.2.2]. What a client
// that comes back says is not overtaken by its will.
func TestWillDelay(t *testing.T) {
	const long = 1000
	lost := func(h *house, c *rawClient) { c.Close() }
	disconnect := func(body ...byte) func(*house, *rawClient) {
		return func(h *house, c *rawClient) { c.send(packet(0xE0, body)) }
	}
	back := func(version byte, connect []byte) func(*house) {
		return func(h *house) {
			c := h.connect(version, connect)
			c.publish("w/c", "back", 1, 1, false)
		}
	}
	takeover := func(version byte, connect []byte) func(*house, *rawClient) {
		return func(h *house, c *rawClient) { back(version, connect)(h) }
	}
	tests := []struct {
		name          string
		expiry, delay uint32
		end           func(*house, *rawClient)
		waits         bool // until then:
		then          func(*house)
		want          []string
	}{
		{name: "no delay", expiry: long, end: lost, want: []string{"gone"}},
		{name: "no session", delay: long, end: lost, want: []string{"gone"}},
		{name: "delay", expiry: long, delay: 1, end: lost, waits: true, want: []string{"gone"}},
		{name: "end of the session", expiry: 1, delay: long, end: lost, waits: true, want: []string{"gone"}},
		{name: "DISCONNECT", expiry: long, delay: long, end: disconnect(0)},
		{name: "DISCONNECT with will", expiry: long, delay: 1, end: disconnect(4), waits: true, want: []string{"gone"}},
		{name: "DISCONNECT that ends the session", expiry: long, delay: long, end: disconnect(4, 5, 0x11, 0, 0, 0, 0), want: []string{"gone"}},
		{name: "back", expiry: long, delay: long, end: lost, waits: true, then: back(mqtt5, keptPacket(mqtt5, "c", long)), want: []string{"back"}},
		{name: "back for once", expiry: long, delay: long, end: lost, waits: true, then: back(mqtt5, keptPacket(mqtt5, "c", 0)), want: []string{"back"}},
		{name: "back with 3.1.1", expiry: long, delay: long, end: lost, waits: true, then: back(mqtt311, keptPacket(mqtt311, "c", 0)), want: []string{"back"}},
		{name: "clean start", expiry: long, delay: long, end: lost, waits: true, then: back(mqtt5, mournedPacket(true, long, long)), want: []string{"gone", "back"}},
		{name: "clean session", expiry: long, delay: long, end: lost, waits: true, then: back(mqtt311, connectPacket(mqtt311, "c", "", 0)), want: []string{"gone", "back"}},
		{name: "taken over", expiry: long, delay: long, end: takeover(mqtt5, keptPacket(mqtt5, "c", long)), want: []string{"back"}},
		{name: "taken over, no delay", expiry: long, end: takeover(mqtt5, keptPacket(mqtt5, "c", long)), want: []string{"gone", "back"}},
		{name: "taken over by a clean start", expiry: long, delay: long, end: takeover(mqtt5, connectPacket(mqtt5, "c", "", 0)), want: []string{"gone", "back"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := openHouse(t, memory.New(memory.Options{}), nil)
			watcher := connectRaw(t, h.server, mqtt311, "watcher", "", 60)
			watcher.subscribe("w/#", 0)
			began := time.Now()
			test.end(h, h.connect(mqtt5, mournedPacket(false, test.expiry, test.delay)))
			if test.waits {
				awaitWill(t, &h.server.wills)
			}
			if test.then != nil {
				test.then(h)
			}
			var got []string
			for range test.want {
				m, _ := watcher.message()
				got = append(got, string(m.Payload))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if took := time.Since(began); test.waits && test.then == nil && took < time.Second {
				t.Errorf("it came after %v", took)
			}
			until(t, h.server, "nothing waits", func(Stats) bool {
				n, bytes := h.server.wills.waiting()
				return n == 0 && bytes == 0
			})
			watcher.expectSilence()
		})
	}
}

// awaitWill returns when a will waits for its time.
func awaitWill(t *testing.T, w *wills) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		w.mu.Lock()
		n := len(w.due)
		w.mu.Unlock()
		if n > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no will waits")
		}
	}
}

// The end of the server is the end of all waiting: it does not know whether it will
// be there again.
func TestWillDelayEndsWithTheServer(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	log := h.connectKept("log", false)
	log.subscribe("w/#", 1)
	h.hangUp(log)
	h.connect(mqtt5, mournedPacket(false, 1000, 1000)).Close()
	awaitWill(t, &h.server.wills)
	h.end()
	h = openHouse(t, h.store, nil)
	if m, _ := h.connectKept("log", true).message(); string(m.Payload) != "gone" {
		t.Errorf("got %q", m.Payload)
	}
}

// willServer is a server of nothing but wills.
func willServer(sink Sink) *Server {
	s := &Server{options: Options{Sink: sink, MaxMessageSize: 100}, local: newLocal(nil), quit: make(chan struct{}), abandoned: make(chan struct{}), wills: newWills()}
	s.users.Store(&users{})
	s.topics = &s.local.topics
	return s
}

func testWill(topic string) will {
	return will{message: types.Message{Topic: topic, QoS: 1}, log: slog.New(slog.DiscardHandler)}
}

// Wills leave one after the other, each at its time, but not before all that its
// client had sent is stored.
func TestWillsLeaveInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &testSink{}
		s := willServer(sink)
		s.running.Go(s.publishDue)
		var late *lateWill
		for _, n := range []int{5, 3, 1, 4, 2} {
			l := s.wills.hold(fmt.Sprint(n), testWill(fmt.Sprint(n)), time.Duration(n)*time.Second)
			if n == 2 {
				late = l
			} else if s.wills.release(l) {
				t.Error("it was due at once")
			}
		}
		for _, want := range []int{0, 1, 1, 2, 3, 4} {
			synctest.Wait()
			sink.set(func() {
				if got := len(sink.all); got != want {
					t.Errorf("%d have left, want %d", got, want)
				}
			})
			time.Sleep(time.Second)
		}
		if !s.wills.release(late) {
			t.Error("one that was due is not")
		}
		close(s.quit)
		s.running.Wait()
	})
}

// One of a user who is gone by then, or may do less, is not published.
func TestWillsObeyTheRulesOfTheirTime(t *testing.T) {
	sink := &testSink{}
	s := willServer(sink)
	before := users{"a": {name: "a", allowed: permissions{publish: []string{"#"}}}, "b": {name: "b", allowed: permissions{publish: []string{"#"}}}, "c": {name: "c", allowed: permissions{publish: []string{"#"}}}}
	var list []*lateWill
	for _, name := range []string{"a", "b", "c"} {
		w := testWill("t/" + name)
		w.account = before[name]
		list = append(list, s.wills.hold(name, w, time.Hour))
	}
	s.users.Store(&users{"b": {name: "b", allowed: permissions{publish: []string{"u"}}}, "c": before["c"]})
	s.publishLate(list)
	if len(sink.all) != 1 || sink.all[0].message.Topic != "t/c" {
		t.Errorf("published: %v", sink.all)
	}
	if n := s.stats.refused[refusedNotAllowed].Load(); n != 2 {
		t.Errorf("%d were refused, want 2", n)
	}
}

// Only so many wills wait, with so many bytes.
func TestWillsAreBounded(t *testing.T) {
	s := willServer(&testSink{})
	n := 0
	for s.wills.hold(fmt.Sprint(n), testWill("t"), time.Hour) != nil {
		n++
	}
	if n != maxWills {
		t.Errorf("%d wait, want %d", n, maxWills)
	}
	s, n = willServer(&testSink{}), 0
	for big := testWill("t"); n < 1000; n++ {
		big.message.Payload = make([]byte, 60_000)
		if s.wills.hold(fmt.Sprint(n), big, time.Hour) == nil {
			break
		}
	}
	if most := maxWillBytes / 60_000; n > most || n < most-1 {
		t.Errorf("%d of 60 kB wait, want %d", n, most)
	}
}
