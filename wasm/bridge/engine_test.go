package bridge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// heard is a record that a page hears.
type heard struct {
	page   string
	kind   kind
	number uint32
	body   []byte
}

// stage is an Engine on a broker in memory, and what its pages hear.
type stage struct {
	*Engine
	t      *testing.T
	broker *loopback.Broker
	said   chan heard
}

func newStage(t *testing.T, store *memory.Store, settings string) *stage {
	t.Helper()
	s, err := ReadSettings([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.Connection()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Config{Connections: []config.Connection{conn}}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	st := &stage{t: t, broker: loopback.New(1), said: make(chan heard, 10_000)}
	rt, err := runtime.Open(t.Context(), runtime.Options{
		Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}),
		Dialer: func(config.Connection) (broker.Dialer, error) { return st.broker, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	st.Engine, err = New(rt, s.Name, func(page string, frame []byte) {
		for len(frame) > 0 {
			n := binary.LittleEndian.Uint32(frame[5:])
			if kind(frame[0]) != statusKind {
				st.said <- heard{page, kind(frame[0]), binary.LittleEndian.Uint32(frame[1:]), slices.Clone(frame[headerSize : headerSize+n])}
			}
			frame = frame[headerSize+n:]
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := st.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return st
}

const settings = `{"name": "q", "url": "ws://broker/", "clientId": "c"}`

func (s *stage) handle(page string, frame []byte) {
	s.t.Helper()
	if err := s.Handle(page, frame); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) call(page string, number uint32, call string) {
	s.t.Helper()
	s.handle(page, appendRecord(nil, callKind, number, []byte(call)))
}

// next is what a page hears next.
func (s *stage) next() heard {
	s.t.Helper()
	select {
	case h := <-s.said:
		return h
	case <-time.After(20 * time.Second):
		s.t.Fatal("nothing is said")
		return heard{}
	}
}

// expect fails unless this is what is heard next.
func (s *stage) expect(page string, k kind, number uint32) heard {
	s.t.Helper()
	h := s.next()
	if h.page != page || h.kind != k || h.number != number {
		s.t.Fatalf("%s hears %d to %d: %q; want %s to hear %d to %d", h.page, h.kind, h.number, h.body, page, k, number)
	}
	return h
}

func (s *stage) expectCode(page string, k kind, number uint32, code string) {
	s.t.Helper()
	var f Failure
	if h := s.expect(page, k, number); json.Unmarshal(h.body, &f) != nil || f.Code != code || f.Message == "" {
		s.t.Errorf("%s, want the code %s", h.body, code)
	}
}

func text(topic, payload string) types.Message {
	return types.Message{Topic: topic, Payload: []byte(payload), QoS: 2}
}

// What two pages publish is stored in the order of each; what is wrong is refused and
// holds nothing up.
func TestPublish(t *testing.T) {
	s := newStage(t, memory.New(memory.Options{}), settings)
	var frame []byte
	for i := range 2500 { // more than one commit takes
		frame = append(frame, asPage(uint32(i+1), uint64(i+1), text("a", fmt.Sprint(i)))...)
	}
	s.handle("1", frame)
	for i := range 2500 {
		h := s.expect("1", storedKind, uint32(i+1))
		if seq := binary.LittleEndian.Uint64(h.body); seq != uint64(i+1) {
			t.Fatalf("message %d has number %d", i, seq)
		}
	}
	bad := append(asPage(3001, 3001, text("a/#", "")), asPage(3002, 3002, text("a", "last"))...)
	s.handle("1", bad)
	s.expectCode("1", errorKind, 3001, "invalid")
	s.expect("1", storedKind, 3002)
	s.call("1", 3003, `{"op":"delivered","seq":2501}`)
	s.expect("1", resultKind, 3003)
	got := s.broker.Published()
	if len(got) != 2501 || string(got[0].Payload) != "0" || string(got[2499].Payload) != "2499" || string(got[2500].Payload) != "last" {
		t.Errorf("the broker got %d messages", len(got))
	}
}

// A page whose Worker was lost says again what was not answered: that is stored once,
// and it can wait for it all the same.
func TestPublishAgain(t *testing.T) {
	store := memory.New(memory.Options{})
	first := newStage(t, store, settings)
	first.broker.Down()
	first.handle("1", append(asPage(1, 1, text("a", "1")), asPage(2, 2, text("a", "2"))...))
	first.expect("1", storedKind, 1)
	first.expect("1", storedKind, 2)

	second := newStage(t, store.Kill(), settings)
	second.handle("1", append(asPage(2, 2, text("a", "2")), asPage(3, 3, text("a", "3"))...))
	if h := second.expect("1", storedKind, 2); binary.LittleEndian.Uint64(h.body) != 0 {
		t.Errorf("the repeat was stored as %x", h.body)
	}
	second.expect("1", storedKind, 3)
	second.call("1", 4, `{"op":"delivered","seq":0}`)
	second.expect("1", resultKind, 4)
	var got []string
	for _, m := range second.broker.Published() {
		got = append(got, string(m.Payload))
	}
	if !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the broker got %v", got)
	}
}

// What a page has published is stored, also if it leaves at once.
func TestPublishAndLeave(t *testing.T) {
	s := newStage(t, memory.New(memory.Options{}), settings)
	var frame []byte
	for i := range 100 {
		frame = append(frame, asPage(uint32(i+1), uint64(i+1), text("a", fmt.Sprint(i)))...)
	}
	s.handle("1", frame)
	s.Detach("1")
	if err := s.broker.WaitFor(t.Context(), 100); err != nil {
		t.Error(err)
	}
}

func TestFull(t *testing.T) {
	s := newStage(t, memory.New(memory.Options{}), `{"name": "q", "url": "ws://broker/", "clientId": "c", "maxMessages": 1}`)
	s.broker.Down()
	s.handle("1", asPage(1, 1, text("a", "1")))
	s.expect("1", storedKind, 1)
	s.handle("1", asPage(2, 2, text("a", "2")))
	s.expectCode("1", errorKind, 2, "full")
	s.broker.Up()
	s.Redial()
	s.call("1", 3, `{"op":"drain"}`)
	s.expect("1", resultKind, 3)
	s.handle("1", asPage(4, 3, text("a", "3")))
	s.expect("1", storedKind, 4)
}

// A durable subscription belongs to one page at a time; what that has not acknowledged
// the next one gets. No page gets more than it has asked for.
func TestSubscribe(t *testing.T) {
	s := newStage(t, memory.New(memory.Options{}), settings)
	if err := s.broker.WaitForClient(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	s.call("1", 1, `{"op":"subscribe","subscription":9,"filters":["cmd/#"],"name":"n"}`)
	s.expect("1", resultKind, 1)
	if err := s.broker.WaitForFilters(t.Context(), "c", 1); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		s.broker.Publish(types.Message{Topic: "cmd/x", Payload: []byte{byte(i)}, QoS: 1})
	}
	s.call("2", 1, `{"op":"subscribe","subscription":5,"filters":["cmd/#"],"name":"n"}`)
	s.handle("1", appendRecord(nil, moreKind, 0, []byte{9, 0, 0, 0, 2, 0, 0, 0}))
	payload := func(h heard) byte { return h.body[len(h.body)-1] }
	if a, b := payload(s.expect("1", deliveryKind, 9)), payload(s.expect("1", deliveryKind, 9)); a != 0 || b != 1 {
		t.Errorf("deliveries %d, %d", a, b)
	}
	s.handle("1", appendRecord(nil, settleKind, 0, []byte{9, 0, 0, 0, 1, 0, 0, 0, byte(acked)}))
	s.call("1", 2, `{"op":"status"}`) // behind the acknowledgement; and there was no third delivery
	s.expect("1", resultKind, 2)
	s.Detach("1")
	s.expect("2", resultKind, 1)
	s.handle("2", appendRecord(nil, moreKind, 0, []byte{5, 0, 0, 0, 8, 0, 0, 0}))
	for want := byte(1); want < 4; want++ {
		if got := payload(s.expect("2", deliveryKind, 5)); got != want {
			t.Errorf("the next page got %d, want %d", got, want)
		}
	}
	s.call("2", 3, `{"op":"unsubscribe","subscription":5}`)
	s.expect("2", resultKind, 3)
	list, err := s.conn.Consumers(t.Context())
	if err != nil || slices.ContainsFunc(list, func(c types.ConsumerStatus) bool { return c.Kind == types.NamedConsumer }) {
		t.Errorf("consumers are left: %v, %v", list, err)
	}
}

func TestCalls(t *testing.T) {
	s := newStage(t, memory.New(memory.Options{}), settings)
	s.broker.Down()
	s.handle("1", asPage(1, 1, text("a", "1")))
	s.expect("1", storedKind, 1)
	tests := []struct {
		name, call string
		kind       kind
		want       string // the code, or the result
	}{
		{"clear", `{"op":"clear","topic":"b"}`, resultKind, `{"cleared":0}`},
		{"clear with a bad filter", `{"op":"clear","topic":"#/b"}`, errorKind, "invalid"},
		{"clear of no such queue", `{"op":"clear","queue":"x"}`, errorKind, "failed"},
		{"clear all", `{"op":"clear","queue":"outgoing"}`, resultKind, `{"cleared":1}`},
		{"delivered, of what was cleared", `{"op":"delivered","seq":1}`, errorKind, "not-delivered"},
		{"drain", `{"op":"drain","timeout_ms":5000}`, resultKind, `null`},
		{"delivered, too late", `{"op":"delivered","seq":99,"timeout_ms":1}`, errorKind, "timeout"},
		{"pause", `{"op":"pause"}`, resultKind, `null`},
		{"resume", `{"op":"resume"}`, resultKind, `null`},
		{"redial", `{"op":"redial"}`, resultKind, `null`},
		{"no such call", `{"op":"x"}`, errorKind, "failed"},
		{"no JSON", `{`, errorKind, "failed"},
		{"a bad filter", `{"op":"subscribe","subscription":1,"filters":["a#"]}`, errorKind, "invalid"},
		{"a bad QoS", `{"op":"subscribe","subscription":1,"filters":["a"],"qos":3}`, errorKind, "invalid"},
		{"leave what is not there", `{"op":"leave","subscription":4}`, resultKind, `null`},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			number := uint32(100 + i)
			s.call("1", number, test.call)
			if test.kind == errorKind {
				s.expectCode("1", errorKind, number, test.want)
			} else if h := s.expect("1", test.kind, number); string(h.body) != test.want {
				t.Errorf("%s, want %s", h.body, test.want)
			}
		})
	}
	s.t = t
}

func TestReadSettings(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no JSON", `{`, "settings: unexpected end of JSON input"},
		{"durability", `{"durability":"x"}`, `durability: must be strict, relaxed or memory, not "x"`},
		{"overflow", `{"overflow":"x"}`, "overflow: must be reject, drop_oldest or drop_newest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := ReadSettings([]byte(test.text))
			if err == nil {
				_, err = s.Connection()
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
