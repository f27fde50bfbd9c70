package sidecar_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/sidecar"
)

// A broker that is detached and opened again as it was keeps its link; with other
// settings it gets another one; when nobody comes it ends.
func TestLinger(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.OpenType, b, settings())
	status(t, p, online)
	first := r.broker.dialed() // a new session takes two
	ask(t, p, sidecar.DetachType, b, nil)
	refused(t, p, "not-open", sidecar.ConnectType, b, nil)
	ask(t, p, sidecar.OpenType, b, settings())
	if err := p.Close(); err != nil { // as does the end of the WebSocket
		t.Fatal(err)
	}
	r.dial(p)
	ask(t, p, sidecar.OpenType, b, settings())
	status(t, p, func(s sidecar.BrokerStatus) bool { return online(s) && !s.Lingering })
	if n := r.broker.dialed() - first; n != 0 {
		t.Errorf("the broker was dialed again, %d times", n)
	}
	ask(t, p, sidecar.OpenType, b, settings("keep_alive", 17))
	status(t, p, func(s sidecar.BrokerStatus) bool { return online(s) && r.broker.dialed() == first+1 })
	publish(t, p, 0, "1") // what is stored stays
	acked(t, p)
	ask(t, p, sidecar.OpenType, b, settings("persist", stored))
	status(t, p, online)

	none := int64(0)
	p.Hello.Linger = &none
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r.dial(p)
	ask(t, p, sidecar.OpenType, b, settings("persist", stored))
	ask(t, p, sidecar.DetachType, b, nil)
	if err := p.Await(within(t), func(s peer.State) bool { return len(s.Status.Brokers) == 0 }); err != nil {
		t.Fatal(err)
	}
}

// A broker that is closed with messages is an orphan, which can be cleared.
func TestOrphan(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.OpenType, b, settings("connect", false))
	publish(t, p, 0, "1", "2", "3")
	acked(t, p)
	ask(t, p, sidecar.CloseType, b, nil)
	orphans := func(n uint64) func(peer.State) bool {
		return func(s peer.State) bool {
			if n == 0 {
				return len(s.Status.Orphans) == 0
			}
			return len(s.Status.Orphans) == 1 && s.Status.Orphans[0].Pending == n && s.Status.Orphans[0].Broker == "b"
		}
	}
	if err := p.Await(within(t), orphans(3)); err != nil {
		t.Fatal(err)
	}
	ask(t, p, sidecar.OpenType, b, settings("connect", false)) // it finds them
	if err := p.Await(within(t), orphans(0)); err != nil {
		t.Fatal(err)
	}
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.Pending == 3 })
	refused(t, p, "closed", sidecar.ClearType, sidecar.Target{Broker: "b", What: "orphan"}, nil)
	ask(t, p, sidecar.CloseType, b, nil)
	if got := ask(t, p, sidecar.ClearType, sidecar.Target{Broker: "b", What: "orphan"}, nil); got != `{"cleared":3}` {
		t.Errorf("cleared: %s", got)
	}
	if err := p.Await(within(t), orphans(0)); err != nil {
		t.Fatal(err)
	}
	ask(t, p, sidecar.OpenType, b, settings())
	publish(t, p, 0, "4")
	if got := r.arrived(1); got != "4" {
		t.Errorf("the broker has %s", got)
	}
}

func TestClearAndCompact(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.OpenType, b, settings("connect", false))
	publish(t, p, 0, "1", "2")
	acked(t, p)
	for what, want := range map[string]string{"outgoing": `{"cleared":2}`, "incoming": `{"cleared":0}`, "dead": `{"cleared":0}`} {
		if got := ask(t, p, sidecar.ClearType, sidecar.Target{Broker: "b", What: what}, nil); got != want {
			t.Errorf("clear %s: %s", what, got)
		}
	}
	refused(t, p, "invalid", sidecar.ClearType, sidecar.Target{Broker: "b", What: "all"}, nil)
	refused(t, p, "closed", sidecar.ClearType, sidecar.Target{Broker: "nobody", What: "outgoing"}, nil)
	if got := ask(t, p, sidecar.CompactType, b, nil); !strings.Contains(got, "reclaimed") {
		t.Errorf("compact: %s", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	for _, c := range []struct {
		name     string
		settings any
	}{
		{"no JSON", []byte(`{"password":"hush"`)},
		{"a wrong type", []byte(`{"url":"mqtt://h","password":{"a":"hush"}}`)},
		{"no url", settings("url", "")},
		{"credentials in the url", settings("url", "mqtt://u:hush@h")},
		{"a protocol", settings("protocol", "4")},
		{"an overflow", settings("limits", map[string]any{"overflow": "x"})},
		{"a compaction interval", settings("compaction_s", 86401)},
		{"a certificate without its key", settings("url", "mqtts://h", "tls", map[string]any{"cert": "hush"})},
		{"a key that is none", settings("url", "mqtts://h", "tls", map[string]any{"cert": "x", "key": "hush"})},
		{"a pfx that is none", settings("url", "mqtts://h", "tls", map[string]any{"pfx": "aHVzaA==", "passphrase": "hush"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := p.Ask(within(t), sidecar.OpenType, b, c.settings)
			if err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
	refused(t, p, "invalid", sidecar.OpenType, sidecar.Target{Broker: "../x"}, settings())
	got := ask(t, p, sidecar.OpenType, b, settings("protocol", "5"))
	if !strings.Contains(got, "3.1.1 is used") {
		t.Errorf("MQTT 5: %s", got)
	}
}

// Files of the nodes before mqttdb are imported in order, and kept.
func TestOldFiles(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join(r.dir, "b")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lines := `{"_id":1,"packet":{"cmd":"publish","topic":"t","payload":"one","qos":1,"messageId":1}}
{"_id":2,"packet":{"cmd":"publish","topic":"t","payload":{"0":50,"1":49},"qos":1,"messageId":2}}
this is damaged
{"_id":3,"packet":{"cmd":"publish","topic":"t","payload":"three","qos":1,"messageId":3}}
{"$$deleted":true,"_id":1}
`
	for _, queue := range []string{"outgoing", "incoming"} {
		if err := os.WriteFile(filepath.Join(dir, queue), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := peer.New(session, r.dir)
	came := make(chan string, 10)
	p.Message = func(f sidecar.Frame, h sidecar.MessageHeader) { came <- string(f.Payload) }
	r.dial(p)
	got := ask(t, p, sidecar.OpenType, b, settings("persist", stored))
	if want := `{"notes":[],"imported":{"messages":2,"unreadable":1}}`; got != want {
		t.Errorf("opened: %s", got)
	}
	publish(t, p, 0, "4")
	if got := r.arrived(3); got != "21 three 4" {
		t.Errorf("the broker has %s", got)
	}
	ask(t, p, sidecar.SubType, sidecar.Target{Broker: "b", Consumer: "n"}, topics("t", 1))
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.Imported != nil && s.Imported.Messages == 4 })
	for _, want := range []string{"21", "three"} {
		select {
		case got := <-came:
			if got != want {
				t.Errorf("%s came, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s did not come", want)
		}
	}
	for _, queue := range []string{"outgoing", "incoming"} {
		if kept, err := os.ReadFile(filepath.Join(dir, queue+".imported")); err != nil || string(kept) != lines {
			t.Errorf("the old file is not kept: %v", err)
		}
	}
}

// Birth and close messages are published when a broker is opened and closed, and a
// message whose time is over is not.
func TestNoticesAndExpiry(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	notices := settings("connect", false, "birth", map[string]any{"topic": "s", "payload": "on", "qos": 1}, "close", map[string]any{"topic": "s", "payload": "off"})
	ask(t, p, sidecar.OpenType, b, notices)
	soon := uint32(1)
	h := sidecar.MessageHeader{Broker: "b", Topic: "t", QoS: 1, Properties: &sidecar.Properties{Expiry: &soon, User: map[string]sidecar.Strings{"a": {"b"}}}}
	if err := p.Publish(h, 0, []byte("late")); err != nil {
		t.Fatal(err)
	}
	publish(t, p, 0, "1")
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.Expired == 1 })
	ask(t, p, sidecar.ConnectType, b, nil)
	r.arrived(2)
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.Pending == 0 })
	ask(t, p, sidecar.DisconnectType, b, nil)
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.State == "paused" })
	ask(t, p, sidecar.CloseType, b, nil)
	if got := r.arrived(3); got != "on 1 off" {
		t.Errorf("the broker has %s", got)
	}
}
