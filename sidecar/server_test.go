package sidecar_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/sidecar"
)

// Who says what is none, or says it at the wrong time, is told why and sent away.
func TestProtocolErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame sidecar.Frame
		why   string
	}{
		{"a type that is none", sidecar.Frame{Type: 99}, "1002"},
		{"a frame of the sidecar", sidecar.Frame{Type: sidecar.AckType}, "1002"},
		{"HELLO again", sidecar.Frame{Type: sidecar.HelloType}, "1002"},
		{"a header that is no JSON", sidecar.Frame{Type: sidecar.PubType, Seq: 1, Header: []byte("{")}, "1002"},
		{"PUB without a broker", sidecar.Frame{Type: sidecar.PubType, Seq: 1}, "1002"},
		{"PUB without a number", sidecar.Frame{Type: sidecar.PubType, Header: []byte(`{"b":"b","t":"t"}`)}, "1002"},
		{"a request without a broker", sidecar.Frame{Type: sidecar.OpenType, Seq: 1}, "1002"},
		{"a frame that is too large", sidecar.Frame{Type: sidecar.PubType, Seq: 1, Payload: make([]byte, 8<<20)}, "1009"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			p := r.peer(session)
			_ = p.Say(c.frame) // it may be gone before all was written
			<-p.Gone()
			if why := p.Why(); why == nil || !strings.Contains(why.Error(), c.why) && c.why != "1009" {
				t.Errorf("it ended with %v, want %s", why, c.why)
			}
		})
	}
}

func TestNumbersRise(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	header, err := json.Marshal(sidecar.MessageHeader{Broker: "b", Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	f := sidecar.Frame{Type: sidecar.PubType, Seq: 7, Header: header}
	if err := p.Say(f); err != nil {
		t.Fatal(err)
	}
	_ = p.Say(f)
	<-p.Gone()
	if why := p.Why(); !strings.Contains(why.Error(), "1002") {
		t.Errorf("it ended with %v", why)
	}
}

func TestHelloRefuses(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name  string
		hello sidecar.Hello
		code  string
	}{
		{"a version", sidecar.Hello{Version: 2, Session: session, DataDir: r.dir}, "4000"},
		{"a short session", sidecar.Hello{Version: 1, Session: "short", DataDir: r.dir}, "1002"},
		{"no data directory", sidecar.Hello{Version: 1, Session: session}, "4003"},
		{"a data directory that is relative", sidecar.Hello{Version: 1, Session: session, DataDir: "data"}, "4003"},
		{"a root", sidecar.Hello{Version: 1, Session: session, DataDir: "/"}, "4003"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &peer.Peer{Hello: c.hello}
			if err := p.Dial(within(t), r.address); err == nil || !strings.Contains(err.Error(), c.code) {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
}

// A session that connects again, perhaps before the sidecar has noticed that it was
// gone, goes on with the new connection; another session goes on beside it.
func TestTakeover(t *testing.T) {
	r := newRig(t)
	first, other := r.peer(session), r.peer("session-9876543210")
	ask(t, first, sidecar.OpenType, b, settings("connect", false))
	publish(t, first, 0, texts(1, 100)...)
	again := peer.New(session, r.dir)
	r.dial(again)
	<-first.Gone()
	if why := first.Why(); !strings.Contains(why.Error(), "4002") {
		t.Errorf("the first connection ended with %v", why)
	}
	ask(t, again, sidecar.OpenType, b, settings("connect", false))
	publish(t, again, 0, texts(1, 100)...) // all that it does not know to be acknowledged
	acked(t, again)
	status(t, again, func(s sidecar.BrokerStatus) bool { return s.Pending == 100 })
	ask(t, other, sidecar.OpenType, b, settings("connect", false))
}

func TestStop(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.StopType, sidecar.Target{}, nil)
	<-r.stopped
	r.close(r.server)
	<-p.Gone()
	if why := p.Why(); !strings.Contains(why.Error(), "1000") {
		t.Errorf("it ended with %v", why)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir() // 0755 or the like
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"unix:relative", "unix:" + filepath.Join(dir, "s"), "unix:/" + strings.Repeat("x", 100), "tls", "tcp:1"} {
		if a, err := sidecar.Listen(where); err == nil {
			t.Errorf("it listens at %s", a.Name)
		}
	}
	private := filepath.Join(dir, "p", "s")
	a, err := sidecar.Listen("unix:" + private)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := sidecar.Listen("unix:" + private); err == nil {
		t.Errorf("two listen at %s", second.Name)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(private, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sidecar.Listen("unix:" + private); err == nil {
		t.Error("a file was taken for a socket")
	}
}

// What a sidecar that was killed has left behind is removed by the next one, and
// nothing else.
func TestListenSweeps(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	old := time.Now().Add(-time.Hour)
	leave := func(name string, fill func(dir string)) string {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		fill(dir)
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	listen := func(dir string) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		return l
	}
	dead := leave("mqttdb-1", func(dir string) { listen(dir).Close() })
	kept := []string{
		leave("mqttdb-2", func(string) {}),
		leave("mqttdb-3", func(dir string) {
			l := listen(dir)
			t.Cleanup(func() { l.Close() })
		}),
		leave("mqttdb-4", func(dir string) {
			listen(dir).Close()
			if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}),
		leave("mqttdb-5", func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, "s"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}),
		leave("other-6", func(dir string) { listen(dir).Close() }),
	}
	a, err := sidecar.Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dead, err)
	}
	for _, dir := range kept {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}
