//go:build unix

package links_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/tinyproxy"
)

// Each kind of link, straight and through an HTTP proxy, against a broker that
// wants a certificate where there are any.
func TestKindsOfLinks(t *testing.T) {
	a := newAuthority(t)
	certFile, keyFile := a.issue("gw", time.Now().Add(time.Hour))
	mutual := config.TLS{CAFile: a.file("ca"), CertFile: certFile, KeyFile: keyFile}
	named := mutual
	named.ServerName, named.ALPN = "broker.example", []string{"mqtt"}
	proxy := tinyproxy.Start(t, url.UserPassword("gw", "secret"))
	tests := []struct {
		name     string
		scheme   string
		settings mqttdb.ConnectionConfig
	}{
		{"mqtt", "mqtt", mqttdb.ConnectionConfig{}},
		{"mqtt, 3.1", "mqtt", mqttdb.ConnectionConfig{Protocol: config.MQTT31}},
		{"mqtt, clean session", "mqtt", mqttdb.ConnectionConfig{CleanSession: true}},
		{"ws", "ws", mqttdb.ConnectionConfig{}},
		{"mqtts", "mqtts", mqttdb.ConnectionConfig{TLS: mutual}},
		{"mqtts by name", "mqtts", mqttdb.ConnectionConfig{TLS: named}},
		{"wss", "wss", mqttdb.ConnectionConfig{TLS: mutual}},
	}
	for _, through := range []string{"", proxy.URL().String()} {
		for _, test := range tests {
			name := test.name
			if through != "" {
				name += " through a proxy"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := test.settings
				b, url := start(t, a, test.scheme)
				c.Broker, c.Proxy = url, through
				s := subscribe(t, b.Addr(), "t")
				db := open(t, t.TempDir(), c)
				sent := numbers(0, 50)
				publish(t, db, sent...)
				drain(t, db)
				s.gets(t, sent)
				closeDB(t, db)
			})
		}
	}
}

// start runs a broker with a plain listener and one for the scheme, and returns
// the URL of that.
func start(t *testing.T, a *authority, scheme string) (*mosquitto.Broker, string) {
	t.Helper()
	switch scheme {
	case "ws":
		b := mosquitto.Start(t, mosquitto.WithWebSocket())
		return b, "ws://" + b.WebSocketAddr() + "/mqtt"
	case "wss":
		b := mosquitto.Start(t, mosquitto.WithWebSocket(), a.secures())
		return b, "wss://" + b.WebSocketAddr() + "/mqtt"
	case "mqtts":
		b := mosquitto.Start(t, mosquitto.WithListener(), a.secures())
		return b, "mqtts://" + b.SecondAddr()
	}
	b := mosquitto.Start(t)
	return b, "mqtt://" + b.Addr()
}

// What is renewed on disk counts from the next attempt on: certificates and keys,
// authorities, passwords.
func TestFilesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	b := mosquitto.Start(t, mosquitto.WithListener(), a.secures())
	dir := t.TempDir()
	certFile, keyFile := a.issue("gw", time.Now().Add(-time.Minute))
	caFile := filepath.Join(dir, "ca.pem")
	copyFile(t, newAuthority(t).file("ca"), caFile)
	db := open(t, dir, mqttdb.ConnectionConfig{
		Broker: "mqtts://" + b.SecondAddr(), TLS: config.TLS{CAFile: caFile, CertFile: certFile, KeyFile: keyFile},
	})
	publish(t, db, "1")
	await(t, db, "the broker's authority to be unknown", func(s mqttdb.Status) bool { return strings.Contains(s.Hint, "tls.ca_file") })
	copyFile(t, a.file("ca"), caFile)
	await(t, db, "our certificate to be refused", func(s mqttdb.Status) bool {
		return strings.Contains(s.LastError+s.Hint, "certificate") && !strings.Contains(s.Hint, "tls.ca_file")
	})
	a.issue("gw", time.Now().Add(time.Hour))
	drain(t, db)
	await(t, db, "a link", is("online"))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPasswordFileIsReadAgain(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.WithUser("gw", "right"))
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrong")
	db := open(t, t.TempDir(), mqttdb.ConnectionConfig{Broker: "mqtt://" + b.Addr(), Username: "gw", PasswordFile: file})
	await(t, db, "the password to be refused", func(s mqttdb.Status) bool { return strings.Contains(s.Hint, "password_file") })
	write("right")
	await(t, db, "a link", is("online"))
}

// Nobody is left in doubt that the broker's certificate is not looked at.
func TestInsecureSkipVerifyWarns(t *testing.T) {
	a := newAuthority(t)
	certFile, keyFile := a.issue("gw", time.Now().Add(time.Hour))
	b := mosquitto.Start(t, mosquitto.WithListener(), a.secures())
	var log logged
	db, err := mqttdb.Open(t.Context(), mqttdb.Config{
		DataDir: t.TempDir(), Logger: log.logger(),
		Connections: []mqttdb.ConnectionConfig{{Name: "cloud", Broker: "mqtts://" + b.SecondAddr(), TLS: config.TLS{InsecureSkipVerify: true, CertFile: certFile, KeyFile: keyFile}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	await(t, db, "a link", is("online"))
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "insecure_skip_verify") {
		t.Errorf("the log does not warn:\n%s", text)
	}
}

// The mark of a session [S3.4]: a clean CONNECT comes first with a new store and
// with another broker, and only then.
func TestSessionMark(t *testing.T) {
	first, second := mosquitto.Start(t), mosquitto.Start(t)
	dir := t.TempDir()
	visit := func(b *mosquitto.Broker, clientID, want string) {
		t.Helper()
		before := len(b.Log())
		db := open(t, dir, mqttdb.ConnectionConfig{Broker: "mqtt://" + b.Addr(), ClientID: clientID})
		publish(t, db, "x")
		drain(t, db)
		closeDB(t, db)
		var greetings []string // mosquitto: "New client connected from 127.0.0.1:1 as gw (p2, c1, k30)."
		for line := range strings.Lines(b.Log()[before:]) {
			if _, rest, ok := strings.Cut(line, " as "+clientID+" (p2, "); ok {
				greetings = append(greetings, rest[:2])
			}
		}
		if got := strings.Join(greetings, " "); got != want {
			t.Errorf("the broker was greeted %q, want %q", got, want)
		}
	}
	visit(first, "gw", "c1 c0")
	visit(first, "gw", "c0")
	visit(second, "gw", "c1 c0")
	visit(first, "gw", "c1 c0")
	visit(first, "gw2", "c1 c0")
	visit(first, "gw2", "c0")
	if err := os.RemoveAll(filepath.Join(dir, "cloud")); err != nil {
		t.Fatal(err)
	}
	visit(first, "gw2", "c1 c0")
}

// Without a durable store there is nothing that would know the session again:
// none is left at the broker (S3.4).
func TestVolatileQueueHasCleanSessions(t *testing.T) {
	b := mosquitto.Start(t)
	db := open(t, t.TempDir(), mqttdb.ConnectionConfig{
		Broker: "mqtt://" + b.Addr(), ClientID: "gw", Persist: config.Persist{Outgoing: config.Off},
	})
	publish(t, db, "x")
	drain(t, db)
	closeDB(t, db)
	if clean, all := strings.Count(b.Log(), " as gw (p2, c1,"), strings.Count(b.Log(), " as gw (p2,"); clean != 1 || all != 1 {
		t.Errorf("%d of %d links had a clean session, want the only one:\n%s", clean, all, b.Log())
	}
}
