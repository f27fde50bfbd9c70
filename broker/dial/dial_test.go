//go:build unix

package dial_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
)

func TestURLs(t *testing.T) {
	tests := []struct {
		name, url string
		addr      string // "" if it is an error
		says      string
	}{
		{"mqtt", "mqtt://h", "h:1883", ""},
		{"tcp with port", "tcp://h:99", "h:99", ""},
		{"mqtts", "mqtts://h/", "h:8883", ""},
		{"ssl", "ssl://h", "h:8883", ""},
		{"tls", "tls://[::1]", "[::1]:8883", ""},
		{"ws", "ws://h/path?x=1", "h:80", ""},
		{"wss", "wss://h", "h:443", ""},
		{"credentials", "mqtt://user:hunter2@h", "h:1883", ""},
		{"no scheme", "broker.example.com:1883", "", "no scheme"},
		{"no scheme, no port", "localhost", "", "no scheme"},
		{"other scheme", "http://h", "", `"http"`},
		{"no host", "mqtt://:1883", "", "no host"},
		{"port 0", "mqtt://h:0", "", "port"},
		{"port 70000", "mqtt://h:70000", "", "port"},
		{"path", "mqtt://h/path", "", "behind host and port"},
		{"not a URL", "mqtt://user:hunter2@h:x", "", "not a URL"},
		{"a slash in the password", "mqtt://user:hunter2/x@h", "", ""},
		{"a number in front of it", "mqtt://user:1883/hunter2@h", "", "behind host and port"},
		{"empty", "", "", "no scheme"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reached := errors.New("reached")
			var addr string
			network, err := dial.Network(dial.Options{URL: test.url, DialContext: func(_ context.Context, network, a string) (net.Conn, error) {
				addr = network + " " + a
				return nil, reached
			}})
			if test.addr != "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err = network(t.Context()); !errors.Is(err, reached) || addr != "tcp "+test.addr {
					t.Errorf("dialed %q: %v", addr, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.says) || broker.Hint(err) == "" {
				t.Errorf("%v (%s)", err, broker.Hint(err))
			}
			if err != nil && strings.Contains(err.Error()+broker.Hint(err), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// listen answers each connection by serve.
func listen(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
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
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func serveTLS(c *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		s := tls.Server(conn, c)
		if s.Handshake() == nil {
			io.Copy(io.Discard, s)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	good := certificate(t, "", time.Now().Add(time.Hour))
	other := certificate(t, "other.example", time.Now().Add(time.Hour))
	old := certificate(t, "", time.Now().Add(-time.Hour))
	server := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	demanding := server(good)
	demanding.ClientAuth = tls.RequireAnyClientCert
	demanding.MaxVersion = tls.VersionTLS12 // 1.3 tells of it only after the handshake
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	hangUp := func(conn net.Conn) { conn.Read(make([]byte, 1000)) }
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)

	const nobody = "127.0.0.1:1" // a port that nothing has used for decades

	tests := []struct {
		name string
		o    dial.Options
		says string
		hint string
	}{
		{"nobody listens", dial.Options{URL: "mqtt://" + nobody}, "connection refused", "check the port"},
		{"no such host", dial.Options{URL: "mqtt://no-such-host.invalid", DialContext: noSuchHost}, `no host named "no-such-host.invalid"`, "DNS"},
		{"DNS does not answer", dial.Options{URL: "mqtt://slow.invalid", DialContext: slowDNS}, "cannot be looked up", "DNS"},
		{"silence instead of TLS", dial.Options{URL: "mqtts://" + listen(t, silent), Timeout: 100 * time.Millisecond}, "no answer for 100ms", "firewall"},
		{"silence instead of a WebSocket", dial.Options{URL: "ws://" + listen(t, silent), Timeout: 100 * time.Millisecond}, "no answer for 100ms", "firewall"},
		{"plain server for TLS", dial.Options{URL: "mqtts://" + listen(t, hangUp)}, "closed the connection in the TLS handshake", "mqtt://"},
		{"HTTP server for TLS", dial.Options{URL: "wss://" + web.Listener.Addr().String()}, "does not speak TLS", "ws://"},
		{"unknown authority", dial.Options{URL: "mqtts://" + listen(t, serveTLS(server(good)))}, "not known here", "tls.ca_file"},
		{"unknown authority, WebSocket", dial.Options{URL: "wss://" + listen(t, serveTLS(server(good)))}, "not known here", "tls.ca_file"},
		{"another name", dial.Options{URL: "mqtts://" + listen(t, serveTLS(server(other))), TLS: trusting(other)}, "not for this name", "tls.server_name"},
		{"expired", dial.Options{URL: "mqtts://" + listen(t, serveTLS(server(old))), TLS: trusting(old)}, "not valid now", "clock"},
		{"client certificate wanted", dial.Options{URL: "mqtts://" + listen(t, serveTLS(demanding)), TLS: trusting(good)}, "refuses the TLS handshake", "tls.cert_file"},
		{"no WebSocket there", dial.Options{URL: "ws://" + web.Listener.Addr().String() + "/mqtt"}, "404 Not Found", "path"},
		{"plain server for a WebSocket", dial.Options{URL: "ws://" + listen(t, hangUp)}, "closed the connection instead", "mqtt://"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			network, err := dial.Network(test.o)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := network(t.Context())
			if err == nil {
				conn.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.says) || !strings.Contains(broker.Hint(err), test.hint) {
				t.Errorf("%q (%q)\nwant %q (%q)", err, broker.Hint(err), test.says, test.hint)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func noSuchHost(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "no-such-host.invalid", IsNotFound: true}}
}

func slowDNS(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "i/o timeout", Name: "slow.invalid", IsTimeout: true}}
}

func TestServerNameOverridesTheHost(t *testing.T) {
	cert := certificate(t, "broker.example", time.Now().Add(time.Hour))
	config := trusting(cert)
	config.ServerName = "broker.example"
	addr := listen(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	network, err := dial.Network(dial.Options{URL: "mqtts://" + addr, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := network(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if config.MinVersion != 0 {
		t.Error("the caller's configuration was changed")
	}
}

func TestCancelEndsEachKindOfHandshake(t *testing.T) {
	addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	for _, scheme := range []string{"mqtts://", "ws://", "wss://"} {
		t.Run(scheme, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			connected := make(chan struct{})
			network, err := dial.Network(dial.Options{URL: scheme + addr, Timeout: time.Hour, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				defer close(connected)
				return new(net.Dialer).DialContext(ctx, network, addr)
			}})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				<-connected
				cancel()
			}()
			if _, err := network(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}
