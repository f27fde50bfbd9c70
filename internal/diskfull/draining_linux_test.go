package diskfull

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/smalldisk"
)

const patience = 2 * time.Minute

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

// fill publishes until the disk is full, and returns how many were taken.
func fill(t *testing.T, db *mqttdb.DB, qos mqttdb.QoS) (n int) {
	t.Helper()
	payload := make([]byte, 600)
	for {
		copy(payload, fmt.Sprintf("%08d", n))
		_, err := db.Connection("up").Publish(t.Context(), mqttdb.Message{Topic: "t", Payload: payload, QoS: qos})
		if errors.Is(err, mqttdb.ErrDiskFull) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

// The queue goes on draining and acknowledging while not a byte of the disk is free,
// also over a start, and takes messages again when there is room. Guarantee 11.
func TestDrainsWhileTheDiskIsFull(t *testing.T) {
	if !smalldisk.Alone(t) {
		return
	}
	for qos := mqttdb.QoS(0); qos <= 2; qos++ {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			disk := smalldisk.Mount(t, 14<<20)
			upstream := mosquitto.Start(t)
			open := func() *mqttdb.DB {
				db, err := mqttdb.Open(t.Context(), mqttdb.Config{DataDir: disk.Path("data"), Connections: []mqttdb.ConnectionConfig{
					{Name: "up", Broker: "mqtt://" + upstream.Addr()},
				}})
				if err != nil {
					t.Fatal(err)
				}
				return db
			}
			upstream.Kill()
			db := open()
			accepted := uint64(fill(t, db, qos))
			disk.Fill()
			if s := db.Connection("up").Status().Outgoing; s.Pending != accepted || !strings.Contains(s.Trouble, "disk full") {
				t.Errorf("when it is full the status is %+v, %d were accepted", s, accepted)
			}
			if err := db.Close(t.Context()); err != nil {
				t.Error(err)
			}
			disk.Fill()

			db = open()
			upstream.Restart()
			s := await(t, db, "all is sent", func(s mqttdb.Status) bool { return s.Outgoing.Pending == 0 }).Outgoing
			if s.Sent != accepted || s.Accepted != accepted {
				t.Errorf("%d accepted, and the books say %d, %d of them sent", accepted, s.Accepted, s.Sent)
			}
			await(t, db, "there is room again", func(s mqttdb.Status) bool { return s.Outgoing.Trouble == "" })
			if _, err := db.Connection("up").Publish(t.Context(), mqttdb.Message{Topic: "t", QoS: qos}); err != nil {
				t.Error(err)
			}
			if err := db.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
