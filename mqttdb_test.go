//go:build !js

package mqttdb_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

func open(t testing.TB, c mqttdb.Config) *mqttdb.DB {
	t.Helper()
	db, err := mqttdb.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t testing.TB, db *mqttdb.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := db.Close(ctx); err != nil {
		t.Error(err)
	}
}

func cloud(url string) []mqttdb.ConnectionConfig {
	return []mqttdb.ConnectionConfig{{Name: "cloud", Broker: url}}
}

// Guarantees 1 to 4, on the real store and a real broker.
func TestStoreAndForward(t *testing.T) {
	b := mosquitto.Start(t)
	addr := b.Addr()
	b.Stop()
	dir := t.TempDir()
	db := open(t, mqttdb.Config{DataDir: dir, Connections: cloud("mqtt://" + addr)})
	for i := range 100 {
		if _, err := db.Connection("cloud").Publish(t.Context(), mqttdb.Message{Topic: "t", Payload: fmt.Append(nil, i), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	closeDB(t, db)
	db = open(t, mqttdb.Config{DataDir: dir, Connections: cloud("mqtt://" + addr)})
	if s := db.Connection("cloud").Status(); s.Outgoing.Pending != 100 {
		t.Fatalf("%d pending after reopening, want 100", s.Outgoing.Pending)
	}
	b.Restart()
	if err := db.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := db.Connection("cloud").Status()
	if s.State != "online" || s.Outgoing.Sent != 100 || s.Outgoing.Pending != 0 {
		t.Errorf("status: %+v", s)
	}
}

// Our actors live in the host's system, beside its own, and leave it running.
func TestHostSystem(t *testing.T) {
	host := actor.NewActorSystem()
	defer host.Shutdown()
	one := open(t, mqttdb.Config{DataDir: t.TempDir(), Connections: cloud("mqtt://127.0.0.1:1"), System: host})
	two := open(t, mqttdb.Config{DataDir: t.TempDir(), Connections: cloud("mqtt://127.0.0.1:1"), System: host, SystemName: "second"})
	if got, want := one.Running(), []string{"mqttdb/_compactor", "mqttdb/cloud", "mqttdb/cloud/inbound", "mqttdb/cloud/outgoing"}; !slices.Equal(got, want) {
		t.Errorf("running: %q, want %q", got, want)
	}
	if got := two.Running(); len(got) != 4 || got[0] != "second/_compactor" {
		t.Errorf("running: %q", got)
	}
	closeDB(t, one)
	closeDB(t, two)
	if got := append(one.Running(), two.Running()...); len(got) != 0 {
		t.Errorf("still running after Close: %q", got)
	}
	answer := make(chan struct{})
	pid := host.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(string); ok {
			close(answer)
		}
	}))
	host.Root.Send(pid, "still there?")
	<-answer
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	open(t, mqttdb.Config{DataDir: filepath.Join(dir, "used"), Connections: cloud("mqtt://127.0.0.1:1")})
	foreign := filepath.Join(dir, "foreign", "cloud", "outgoing")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	for _, name := range []string{filepath.Join(foreign, "letter.txt"), file} {
		if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		config mqttdb.Config
		is     error
		says   string
	}{
		{"in use", mqttdb.Config{DataDir: filepath.Join(dir, "used"), Connections: cloud("mqtt://h")}, mqttdb.ErrInUse, "cloud/outgoing"},
		{"somebody's files", mqttdb.Config{DataDir: filepath.Join(dir, "foreign"), Connections: cloud("mqtt://h")}, nil, "letter.txt"},
		{"a file", mqttdb.Config{DataDir: file, Connections: cloud("mqtt://h")}, nil, file},
		{"no broker", mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{{Name: "x"}}}, nil, "connections.x.broker"},
		{"bad name", mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{{Name: "../x", Broker: "mqtt://h"}}}, nil, "../x"},
	} {
		db, err := mqttdb.Open(t.Context(), c.config)
		if err == nil {
			closeDB(t, db)
			t.Errorf("%s: opened", c.name)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want one that says %q", c.name, err, c.says)
		}
	}
}

// Wrong credentials are said, with a hint, and tried again; the hook is asked
// for each attempt.
func TestCredentials(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.WithUser("gw", "right"))
	asked := make(chan struct{}, 100)
	password := make(chan config.Secret, 100)
	c := cloud("mqtt://" + b.Addr())
	c[0].Credentials = func(context.Context) (string, config.Secret, error) {
		asked <- struct{}{}
		select {
		case p := <-password:
			return "gw", p, nil
		default:
			return "gw", "wrong", nil
		}
	}
	db := open(t, mqttdb.Config{DataDir: t.TempDir(), Connections: c})
	for statuses := range db.Watch(t.Context()) {
		if s := statuses[0]; s.State == "refused" {
			if !strings.Contains(s.LastError, "refuses the username or password") && !strings.Contains(s.LastError, "not authorized") || s.Hint == "" || s.NextAttempt == nil {
				t.Errorf("status: %+v", s)
			}
			break
		}
	}
	<-asked
	password <- "right"
	for statuses := range db.Watch(t.Context()) {
		if statuses[0].State == "online" {
			break
		}
	}
	if len(asked) == 0 {
		t.Error("the hook was asked once, for all attempts")
	}
}

func TestHooks(t *testing.T) {
	type call struct{ network, addr string }
	dialed, prepared := make(chan call, 10), make(chan string, 10)
	db := open(t, mqttdb.Config{
		DataDir: t.TempDir(), Connections: cloud("mqtts://broker.invalid"),
		Hooks: mqttdb.Hooks{
			Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
				dialed <- call{network, addr}
				return nil, errors.New("no network today")
			},
			TLS: func(name string, c *tls.Config) error {
				prepared <- fmt.Sprint(name, " ", c.MinVersion >= tls.VersionTLS12)
				return nil
			},
		},
	})
	if got := <-prepared; got != "cloud true" {
		t.Errorf("TLS hook: %s", got)
	}
	if got := <-dialed; got != (call{"tcp", "broker.invalid:8883"}) {
		t.Errorf("dial hook: %v", got)
	}
	for statuses := range db.Watch(t.Context()) {
		if s := statuses[0]; s.LastError != "" {
			if !strings.Contains(s.LastError, "no network today") {
				t.Errorf("status: %+v", s)
			}
			break
		}
	}
}
