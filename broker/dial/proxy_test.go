//go:build unix

package dial_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/tinyproxy"
)

// connect opens an MQTT link, and closes it.
func connect(t *testing.T, o dial.Options) error {
	t.Helper()
	network, err := dial.Network(o)
	if err != nil {
		t.Fatal(err)
	}
	d := &mqtt.Dialer{Network: network, ConnectTimeout: 10 * time.Second}
	gone := make(chan error, 1)
	link, _, err := d.Dial(t.Context(), broker.ConnectOptions{ClientID: "client", CleanSession: true, Protocol: broker.MQTT311}, func(e broker.Event) {
		if down, ok := e.(broker.Down); ok {
			gone <- down.Err
		}
	})
	if err != nil {
		return err
	}
	link.Close(true)
	return <-gone
}

// Each kind of link goes through a real proxy, which asks for a password.
func TestProxy(t *testing.T) {
	cert := certificate(t, "", time.Now().Add(time.Hour))
	certFile, keyFile := files(t, cert)
	plain := mosquitto.Start(t, mosquitto.WithWebSocket())
	secure := mosquitto.Start(t, mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile))
	secureWeb := mosquitto.Start(t, mosquitto.WithWebSocket(), mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile))
	proxy := tinyproxy.Start(t, url.UserPassword("gw", "secret"))
	wrong := *proxy.URL()
	wrong.User = url.UserPassword("gw", "hunter2")
	strict := tinyproxy.Start(t, nil, "ConnectPort 443")

	for _, broker := range []string{
		"mqtt://" + plain.Addr(), "ws://" + plain.WebSocketAddr() + "/mqtt",
		"mqtts://" + secure.Addr(), "wss://" + secureWeb.WebSocketAddr() + "/mqtt",
	} {
		t.Run(broker, func(t *testing.T) {
			if err := connect(t, dial.Options{URL: broker, TLS: trusting(cert), Proxy: proxy.URL()}); err != nil {
				t.Error(err)
			}
			_, addr, _ := strings.Cut(strings.TrimSuffix(broker, "/mqtt"), "://")
			if !strings.Contains(proxy.Log(), "CONNECT "+addr) {
				t.Errorf("it went past the proxy:\n%s", proxy.Log())
			}
			complains(t, dial.Options{URL: broker, TLS: trusting(cert), Proxy: &wrong}, "401", "user and password in proxy")
			nobody := *proxy.URL()
			nobody.User = nil
			complains(t, dial.Options{URL: broker, TLS: trusting(cert), Proxy: &nobody}, "407", "user and password in proxy")
			complains(t, dial.Options{URL: broker, TLS: trusting(cert), Proxy: strict.URL()}, "403", "ask who runs it")
		})
	}
	complains(t, dial.Options{URL: "mqtt://127.0.0.1:1", Proxy: proxy.URL()}, "answered 5", "does not reach the broker")
	complains(t, dial.Options{URL: "mqtt://h", Proxy: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}, "proxy 127.0.0.1:1 cannot be used: connection refused", "check proxy")
}

// complains checks that there is no link, what the error says and what it
// advises.
func complains(t *testing.T, o dial.Options, says, hint string) {
	t.Helper()
	err := connect(t, o)
	if err == nil {
		t.Fatalf("%s: no error", o.URL)
	}
	if !strings.Contains(err.Error(), says) || !strings.Contains(broker.Hint(err), hint) {
		t.Errorf("%s: %q (%q)\nwant %q (%q)", o.URL, err, broker.Hint(err), says, hint)
	}
	if strings.Contains(err.Error()+broker.Hint(err), "hunter2") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: shows a password, or more than one line: %q", o.URL, err)
	}
}

func TestProxyOverTLS(t *testing.T) {
	cert := certificate(t, "", time.Now().Add(time.Hour))
	answers := func(answer string) (addr string) {
		return listen(t, func(conn net.Conn) {
			c := secured(conn, cert)
			ask, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil || ask.Method != "CONNECT" || ask.Host != "broker.example:1883" || ask.Header.Get("Proxy-Authorization") != "" {
				io.WriteString(c, "HTTP/1.1 400 What\r\n\r\n")
				return
			}
			io.WriteString(c, answer)
			io.Copy(io.Discard, c)
		})
	}
	for _, test := range []struct{ name, answer, says string }{
		{"opens", "HTTP/1.1 200 Here you are\r\n\r\n", ""},
		{"says more than it should", "HTTP/1.1 200 Here you are\r\n\r\nhello", "more came from the proxy"},
		{"is no proxy", "SSH-2.0-OpenSSH\r\n", "malformed HTTP"},
		{"refuses", "HTTP/1.1 403 No\r\n\r\n", "403"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := dial.Options{URL: "mqtt://broker.example", Proxy: &url.URL{Scheme: "https", Host: answers(test.answer)}}
			dial.TrustProxy(&o, trusting(cert).RootCAs)
			network, err := dial.Network(o)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := network(t.Context())
			switch {
			case err == nil:
				conn.Close()
				if test.says != "" {
					t.Error("no error")
				}
			case test.says == "" || !strings.Contains(err.Error(), test.says) || broker.Hint(err) == "":
				t.Errorf("%v (%s)", err, broker.Hint(err))
			}
		})
	}
	o := dial.Options{URL: "mqtt://broker.example", Proxy: &url.URL{Scheme: "https", Host: answers("")}}
	complains(t, o, "signed by an authority that is not known", "check proxy")
}

// Nobody waits for a proxy that says nothing.
func TestSilentProxy(t *testing.T) {
	silent := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	o := dial.Options{URL: "mqtts://broker.example", Proxy: &url.URL{Scheme: "http", Host: silent}, Timeout: 100 * time.Millisecond}
	network, err := dial.Network(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := network(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer for 100ms") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Timeout = time.Hour
	o.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer cancel()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if network, err = dial.Network(o); err != nil {
		t.Fatal(err)
	}
	if _, err := network(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestParseProxy(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://h": true, "https://h:1": true, "http://u:p@h:3128": true,
		"": false, "h:3128": false, "socks5://h": false, "http://": false, "http://:1": false, "http://hunter2@h:x": false,
	} {
		_, err := dial.ParseProxy(raw)
		if (err == nil) != want {
			t.Errorf("%q: %v", raw, err)
		}
		if err != nil && (broker.Hint(err) == "" || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q: %v (%s)", raw, err, broker.Hint(err))
		}
	}
}

// No other test of this package may ask for it: the environment is read once.
func TestEnvironmentProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://plain:3128")
	t.Setenv("HTTPS_PROXY", "http://user:pw@secure:3128")
	t.Setenv("NO_PROXY", "inside.example")
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
	for broker, want := range map[string]string{
		"ws://h/mqtt": "http://plain:3128", "wss://h": "http://user:pw@secure:3128", "wss://inside.example": "", "ws://127.0.0.1:1": "", "mqtt://h": "", "mqtts://h": "",
	} {
		got, err := dial.EnvironmentProxy(broker)
		if err != nil || (got == nil) != (want == "") || got != nil && got.String() != want {
			t.Errorf("%s: %v, %v, want %q", broker, got, err, want)
		}
	}
}
