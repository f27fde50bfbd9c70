package mqttdb_test

import (
	"errors"
	"testing"

	"github.com/mqttdb/mqttdb"
)

// A program changes what runs; what it cannot change is named.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	away := func(name string) mqttdb.ConnectionConfig {
		return mqttdb.ConnectionConfig{Name: name, Broker: "mqtt://127.0.0.1:1", ClientID: name}
	}
	db, err := mqttdb.Open(t.Context(), mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{away("a")}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	if _, err := db.Connection("a").Publish(t.Context(), mqttdb.Message{Topic: "t", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	_, err = db.Reload(t.Context(), mqttdb.Config{DataDir: t.TempDir(), Connections: []mqttdb.ConnectionConfig{away("b")}})
	if !errors.Is(err, mqttdb.ErrNeedsRestart) || db.Connection("b") != nil {
		t.Errorf("another directory: %v", err)
	}
	b := away("b")
	b.Sync = -1 // never
	done, err := db.Reload(t.Context(), mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{b}})
	if err != nil || len(done.Added) != 1 || len(done.Removed) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := db.Connection("b").Publish(t.Context(), mqttdb.Message{Topic: "t", QoS: 1}); err != nil {
		t.Error(err)
	}
	if s := db.Status(); len(s) != 2 || s[1].Name != "a" || !s[1].Orphan || s[1].Outgoing.Pending != 1 {
		t.Errorf("%+v", s)
	}
}
