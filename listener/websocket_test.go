package listener

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/types"
)

// dialSocket connects by WebSocket; the response is there also when that is
// refused.
func dialSocket(t testing.TB, s *Server, header http.Header, change func(*websocket.Dialer)) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: 10 * time.Second}
	if change != nil {
		change(&d)
	}
	scheme := "ws"
	if d.TLSClientConfig != nil {
		scheme = "wss"
	}
	ws, response, err := d.Dial(fmt.Sprintf("%s://%s/any/path", scheme, s.Addr()), header)
	if err == nil {
		t.Cleanup(func() { ws.Close() })
	}
	return ws, response, err
}

var socketEndpoint = Endpoint{Addr: "127.0.0.1:0", WebSocket: true}

// Packets may be spread over messages as they like [MQTT-6.0.0-2].
func TestWebSocket(t *testing.T) {
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink, Endpoints: []Endpoint{socketEndpoint}})
	ws, response, err := dialSocket(t, s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Sec-WebSocket-Protocol"); got != "mqtt" {
		t.Errorf("subprotocol %q", got)
	}
	c := &rawClient{t: t, Conn: &socket{Conn: ws, limited: &limited{Conn: ws.NetConn()}}, version: mqtt311}
	c.r = bufio.NewReader(c.Conn)
	whole := bytes.Join([][]byte{
		connectPacket(mqtt311, "c", "", 60),
		publishPacket(mqtt311, "t", make([]byte, 100_000), 1, 1, false, false),
		publishPacket(mqtt311, "t", []byte("x"), 2, 2, false, false),
		{0xC0, 0},
	}, nil)
	for len(whole) > 0 {
		n := min(len(whole), 7)
		if len(whole) > 50_000 {
			n = 50_000
		}
		c.send(whole[:n])
		whole = whole[n:]
	}
	seen := map[byte]bool{}
	for range 4 {
		first, _ := c.read()
		seen[first] = true
	}
	if !seen[0x20] || !seen[0x40] || !seen[0x50] || !seen[0xD0] {
		t.Errorf("answers %v", seen)
	}
	sink.count(t, 2)
	c.subscribe("t", 0)
	s.Deliver(sink.count(t, 2)[0].message)
	if m, _ := c.message(); len(m.Payload) != 100_000 {
		t.Errorf("%d bytes were delivered", len(m.Payload))
	}
	c.send([]byte{0xE0, 0})
	if _, _, err := ws.NextReader(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the end: %v", err)
	}
}

// A page of another origin is not let in, by whatever means it tries; programs
// that are no browsers say no origin.
func TestOrigins(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "ca")
	ca.write(dir, "server")
	files := &TLSFiles{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	listed := []string{"https://panel.example.com", "http://gw.local:9001"}
	ws, _ := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{{Addr: "127.0.0.1:0", WebSocket: true, AllowedOrigins: listed}}})
	wss, _ := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{{Addr: "127.0.0.1:0", WebSocket: true, AllowedOrigins: listed, TLS: files}}})
	own := "PORT" // is replaced by the port of the server
	tests := []struct {
		name    string
		origins []string
		host    string // "": 127.0.0.1 with the port
		ws, wss bool
	}{
		{"no origin", nil, "", true, true},
		{"no origin, any host", nil, "gw.local", true, true},
		{"own, plain", []string{"http://127.0.0.1:" + own}, "", true, false},
		{"own, TLS", []string{"https://127.0.0.1:" + own}, "", false, true},
		{"own by name", []string{"http://localhost:" + own}, "localhost:" + own, true, false},
		{"own by another name than the page", []string{"http://localhost:" + own}, "", false, false},
		{"listed", []string{"https://panel.example.com"}, "", true, true},
		{"listed, in other letters", []string{"HTTPS://Panel.Example.com"}, "", true, true},
		{"listed, with its host", []string{"http://gw.local:9001"}, "gw.local:9001", true, true},
		{"foreign", []string{"https://evil.example.com"}, "", false, false},
		{"listed with another scheme", []string{"http://panel.example.com"}, "", false, false},
		{"listed with another port", []string{"https://panel.example.com:8443"}, "", false, false},
		{"listed as a part", []string{"https://panel.example.com.evil.com"}, "", false, false},
		{"listed as user", []string{"https://panel.example.com@evil.com"}, "", false, false},
		{"null", []string{"null"}, "", false, false},
		{"empty", []string{""}, "", false, false},
		{"file", []string{"file://"}, "", false, false},
		{"another port of this machine", []string{"http://127.0.0.1:1"}, "", false, false},
		{"rebinding", []string{"http://evil.example.com:" + own}, "evil.example.com:" + own, false, false},
		{"rebinding with TLS", []string{"https://evil.example.com:" + own}, "evil.example.com:" + own, false, false},
		{"rebinding, ends like localhost", []string{"http://x.localhost:" + own}, "x.localhost:" + own, false, false},
		{"a number as a name", []string{"http://127.0.0.1.nip.io:" + own}, "127.0.0.1.nip.io:" + own, false, false},
		{"decimal host", []string{"http://2130706433:" + own}, "2130706433:" + own, false, false},
		{"two origins", []string{"http://127.0.0.1:" + own, "https://evil.example.com"}, "", false, false},
		{"nonsense", []string{"http://%zz"}, "", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, server := range []struct {
				s  *Server
				ok bool
				d  func(*websocket.Dialer)
			}{{ws, test.ws, nil}, {wss, test.wss, func(d *websocket.Dialer) { d.TLSClientConfig = ca.trust(dir, "") }}} {
				here := func(s string) string { return strings.ReplaceAll(s, own, port(server.s)) }
				header := http.Header{}
				for _, o := range test.origins {
					header.Add("Origin", here(o))
				}
				if test.host != "" {
					header.Set("Host", here(test.host))
				}
				conn, response, err := dialSocket(t, server.s, header, server.d)
				switch {
				case (err == nil) != server.ok:
					t.Errorf("with TLS %v: %v", server.d != nil, err)
				case err != nil && (response == nil || response.StatusCode != http.StatusForbidden):
					t.Errorf("answered with %+v", response)
				case err == nil:
					conn.Close()
				}
			}
		})
	}
}

// What is no WebSocket for MQTT is answered with an error, and ends.
func TestRequestsThatAreNoWebSocket(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{socketEndpoint}})
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for name, test := range map[string]struct{ request, status string }{
		"a page":            {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		"no subprotocol":    {"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade + "\r\n", "400"},
		"other subprotocol": {"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: chat\r\n" + upgrade + "\r\n", "400"},
		"POST":              {"POST / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: mqtt\r\n" + upgrade + "\r\n", "405"},
		"no key":            {"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: mqtt\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", "400"},
		"MQTT":              {string(connectPacket(mqtt311, "c", "", 60)) + "\r\n\r\n", ""},
		"endless header":    {"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 2*maxRequest), ""},
		"data behind it":    {"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: mqtt\r\n" + upgrade + "\r\nmore", ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(conn, test.request)
			answer, err := io.ReadAll(conn)
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				t.Fatal("not closed")
			}
			if got, _, _ := strings.Cut(strings.TrimPrefix(string(answer), "HTTP/1.1 "), " "); got != test.status {
				t.Errorf("answered with %q", answer)
			}
		})
	}
}

// Text is an error, and a frame costs nothing before its bytes arrive.
func TestWebSocketFrames(t *testing.T) {
	s, log := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{socketEndpoint}})
	ws, _, err := dialSocket(t, s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, connectPacket(mqtt311, "c", "", 60)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.NextReader(); err == nil {
		t.Error("text is answered")
	}
	log.wait(t, "not binary")
	ws, _, err = dialSocket(t, s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A frame that announces 2^62 bytes, masked, with CONNECT in it.
	frame := append([]byte{0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, connectPacket(mqtt311, "c", "", 60)...)
	if _, err := ws.NetConn().Write(frame); err != nil {
		t.Fatal(err)
	}
	if _, m, err := ws.ReadMessage(); err != nil || !bytes.Equal(m, []byte{0x20, 2, 0, 0}) {
		t.Errorf("%x, %v", m, err)
	}
}

// Whoever only makes half of the way is bounded in time: TLS, the upgrade and
// CONNECT together.
func TestSlowHandshakes(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "ca")
	ca.write(dir, "server")
	files := &TLSFiles{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	const limit = 500 * time.Millisecond
	s, _ := start(t, Options{Sink: &testSink{}, connectTimeout: limit, Endpoints: []Endpoint{
		{Addr: "127.0.0.1:0", TLS: files}, {Addr: "127.0.0.1:0", WebSocket: true}, {Addr: "127.0.0.1:0", WebSocket: true, TLS: files},
	}})
	secure := ca.trust(dir, "")
	for name, dial := range map[string]func() (net.Conn, error){
		"no ClientHello": func() (net.Conn, error) { return net.Dial("tcp", s.Addrs()[0].String()) },
		"no CONNECT by TLS": func() (net.Conn, error) {
			return tls.Dial("tcp", s.Addrs()[0].String(), secure)
		},
		"no request":        func() (net.Conn, error) { return net.Dial("tcp", s.Addrs()[1].String()) },
		"no request by TLS": func() (net.Conn, error) { return tls.Dial("tcp", s.Addrs()[2].String(), secure) },
		"no CONNECT by WebSocket": func() (net.Conn, error) {
			d := websocket.Dialer{Subprotocols: []string{"mqtt"}}
			ws, _, err := d.Dial("ws://"+s.Addrs()[1].String(), nil)
			if err != nil {
				return nil, err
			}
			return ws.NetConn(), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			conn, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(began.Add(20 * limit))
			io.Copy(io.Discard, conn)
			if took := time.Since(began); took < limit*8/10 || took > 10*limit {
				t.Errorf("closed after %v, the limit is %v", took, limit)
			}
		})
	}
}

// A client that does not read, or is not there any more, ends when it has to: else
// the next one with its client id would wait for it.
func TestWebSocketThatDoesNotRead(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{socketEndpoint}})
	connect := func() *rawClient {
		ws, _, err := dialSocket(t, s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &rawClient{t: t, Conn: &socket{Conn: ws, limited: &limited{Conn: ws.NetConn()}}, version: mqtt311}
		c.r = bufio.NewReader(c.Conn)
		c.send(connectPacket(mqtt311, "c", "", 0))
		c.expect([]byte{0x20, 2, 0, 0})
		return c
	}
	stuck := connect()
	stuck.subscribe("t", 0)
	m := types.Message{Topic: "t", Payload: make([]byte, 100_000)}
	until(t, s, "a full connection", func(st Stats) bool {
		s.Deliver(m)
		return st.Dropped > 0
	})
	next := connect()
	next.publish("u", "x", 1, 1, false)
	next.expect(ackPacket(pubackKind, 1))
	until(t, s, "the end of the first", func(st Stats) bool { return st.Subscriptions == 0 })
}
