//go:build unix

package crash

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// Bad input: a broker that cannot be used is no reason not to start, nor not to
// store; the status says what is wrong and what to do, and it is tried again.
func TestBrokersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		broker    func(*testing.T) string // its URL
		err, hint string                  // ADDR stands for host:port
		slow      bool                    // one attempt is enough to wait for
	}{
		{
			name: "nothing listens",
			broker: func(t *testing.T) string {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				return "mqtt://" + l.Addr().String()
			},
			err:  "connect to ADDR: connection refused",
			hint: "nothing listens there: check the port, and that the broker runs",
		},
		{
			name: "a web server",
			broker: func(t *testing.T) string {
				return "mqtt://" + answering(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			},
			err:  `wait for the broker to answer CONNECT: that is not an MQTT broker: it answered "HTTP/1.1 400 Bad Request"`,
			hint: "check address and port of the broker; a WebSocket listener needs ws:// or wss://",
		},
		{
			name: "a web server that waits for the end of a line",
			broker: func(t *testing.T) string {
				web := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(web.Close)
				return "mqtt://" + web.Listener.Addr().String()
			},
			err:  "no answer to CONNECT for 10s",
			hint: "check that this is the port of an MQTT broker, with TLS or without as the address says, and that the broker is well",
			slow: true,
		},
		{
			name: "a mail server",
			broker: func(t *testing.T) string {
				return "mqtt://" + answering(t, "220 mail.example.com ESMTP\r\n")
			},
			err:  `wait for the broker to answer CONNECT: that is not an MQTT broker: it answered "220 mail.example.com ESMTP"`,
			hint: "check address and port of the broker; a WebSocket listener needs ws:// or wss://",
		},
		{
			name: "a server that hangs up",
			broker: func(t *testing.T) string {
				return "mqtt://" + answering(t, "")
			},
			err:  "the broker closed the connection without an answer to CONNECT",
			hint: "check that this is the port of an MQTT broker, with TLS or without as the address says (a WebSocket listener needs ws:// or wss://); some brokers hang up on a username, password, client id or certificate that they do not like",
		},
		{
			name: "a web server without MQTT over WebSocket",
			broker: func(t *testing.T) string {
				web := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(web.Close)
				return "ws://" + web.Listener.Addr().String() + "/mqtt"
			},
			err:  "connect to ADDR: the server answered 404 Not Found to the WebSocket handshake",
			hint: "check path and port: the broker must have a WebSocket listener there",
		},
		{
			name: "no TLS where it is expected",
			broker: func(t *testing.T) string {
				return "mqtts://" + mosquitto.Start(t).Addr()
			},
			err:  "connect to ADDR: the server closed the connection in the TLS handshake",
			hint: "check that the port is the one for TLS; else use mqtt://",
		},
		{
			name: "credentials are wanted",
			broker: func(t *testing.T) string {
				return "mqtt://" + mosquitto.Start(t, mosquitto.WithUser("gw", "right")).Addr()
			},
			err:  "the broker says that this client is not authorized",
			hint: "check username and password_file, and what the broker allows this user",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url := test.broker(t)
			g := newGateway(t, url)
			g.start()
			publishOne(t, g, "t", []byte("stored"))
			_, addr, _ := strings.Cut(url, "://")
			addr, _, _ = strings.Cut(addr, "/")
			s := g.unlinked()
			if want := strings.ReplaceAll(test.err, "ADDR", addr); s.LastError != want || s.Hint != test.hint {
				t.Errorf("the status says\n %s\n %s\nwant\n %s\n %s", s.LastError, s.Hint, want, test.hint)
			}
			if s.NextAttempt == nil || s.Outgoing.Pending != 1 {
				t.Errorf("%+v", s)
			}
			poll(t, 20*time.Millisecond, "another attempt", func() bool {
				return strings.Count(g.log(), "no link") >= 2 || test.slow
			})
		})
	}
}

// answering is the address of a server that says one thing to whoever has said
// something, and hangs up.
func answering(t *testing.T, what string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1024))
			conn.Write([]byte(what))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// unlinked waits until there was an attempt to reach the broker, in vain.
func (g *gateway) unlinked() types.Status {
	g.t.Helper()
	var s types.Status
	poll(g.t, 5*time.Millisecond, "the gateway to wait for its next attempt", func() bool {
		s = g.status()
		return s.State == types.Backoff || s.State == types.Refused
	})
	return s
}

// A password that is wrong and then put right: what was stored in between
// arrives, after a restart and after none, for it is read before each attempt.
func TestPasswordPutRight(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			t.Parallel()
			broker := mosquitto.Start(t, mosquitto.WithUser("gw", "right"))
			g := newGateway(t, "mqtt://"+broker.Addr(), "username: gw", "password_file: password")
			password := filepath.Join(filepath.Dir(g.config), "password")
			write(t, filepath.Dir(password), "password", "secret-and-wrong\n")
			g.start()
			publishOne(t, g, "t", []byte("stored"))
			s := g.unlinked()
			if want := "the broker says that this client is not authorized"; !strings.Contains(s.LastError, want) {
				t.Errorf("%+v", s)
			}
			if err := os.WriteFile(password, []byte("right\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(g.log(), "secret-and-wrong") {
				t.Errorf("the log shows the password:\n%s", g.log())
			}
			if restart {
				if code, _ := g.stop(); code != 0 {
					t.Errorf("exit status %d", code)
				}
				g.start()
			}
			poll(t, 10*time.Millisecond, "the message to be sent", func() bool {
				s = g.status()
				return s.Outgoing.Sent == 1
			})
			if s.State != types.Online || s.LastError != "" || s.Hint != "" {
				t.Errorf("%+v", s)
			}
		})
	}
}
