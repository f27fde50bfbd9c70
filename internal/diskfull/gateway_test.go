//go:build unix

package diskfull

import (
	"context"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

const patience = 2 * time.Minute

// settings are of a gateway that leaves so much of the disk free.
func settings(dir string, upstream *mosquitto.Broker, leave int64) mqttdb.Config {
	return mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{
		{Name: "up", Broker: "mqtt://" + upstream.Addr(), Limits: config.Limits{Limit: config.Limit{MinFreeDisk: leave}}},
	}}
}

func open(t *testing.T, dir string, upstream *mosquitto.Broker, leave int64) *mqttdb.DB {
	t.Helper()
	db, err := mqttdb.Open(t.Context(), settings(dir, upstream, leave))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// openOffline is open with a session at a broker that is away: what is known of it is
// stored.
func openOffline(t *testing.T, dir string, upstream *mosquitto.Broker, leave int64) *mqttdb.DB {
	t.Helper()
	db := open(t, dir, upstream, leave)
	await(t, db, "a link", func(s mqttdb.Status) bool { return s.State == mqttdb.Online })
	upstream.Stop()
	await(t, db, "no link", func(s mqttdb.Status) bool { return s.State != mqttdb.Online })
	return db
}

// await waits until the status of the connection is as wanted.
func await(t *testing.T, db *mqttdb.DB, what string, is func(mqttdb.Status) bool) mqttdb.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s := db.Connection("up").Status()
		if is(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for: %s; the status is %+v", what, s)
		}
	}
}
