package diskfull

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/smalldisk"
)

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
			begin := func() *mqttdb.DB {
				return open(t, disk.Path("data"), upstream, config.None)
			}
			upstream.Kill()
			db := begin()
			accepted := uint64(fill(t, db, qos))
			disk.Fill()
			if s := db.Connection("up").Status().Outgoing; s.Pending != accepted || !strings.Contains(s.Trouble, "disk full") {
				t.Errorf("when it is full the status is %+v, %d were accepted", s, accepted)
			}
			if err := db.Close(t.Context()); err != nil {
				t.Error(err)
			}
			disk.Fill()

			db = begin()
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

// As much of the disk as min_free_disk says stays free: messages are refused before,
// and taken when there is more, or when it is to be less.
func TestLeavesSomeOfTheDisk(t *testing.T) {
	if !smalldisk.Alone(t) {
		return
	}
	const least, slack = 10 << 20, 1 << 20
	disk := smalldisk.Mount(t, 24<<20)
	upstream := mosquitto.Start(t)
	upstream.Kill()
	db := open(t, disk.Path("data"), upstream, least)
	accepted := uint64(fill(t, db, 1))
	if free := disk.Available(); free < least-slack || free > least+slack {
		t.Errorf("%d bytes are free when it is full, want about %d", free, int64(least))
	}
	s := db.Connection("up").Status().Outgoing
	if !strings.Contains(s.Trouble, "min_free_disk (10 MiB)") {
		t.Errorf("the status does not say what to do: %q", s.Trouble)
	}
	if _, err := db.Reload(t.Context(), settings(disk.Path("data"), upstream, config.None)); err != nil {
		t.Fatal(err)
	}
	await(t, db, "room, when less is to stay free", func(s mqttdb.Status) bool { return s.Outgoing.Trouble == "" })
	accepted += uint64(fill(t, db, 1))
	if _, err := db.Reload(t.Context(), settings(disk.Path("data"), upstream, least)); err != nil {
		t.Fatal(err)
	}
	upstream.Restart()
	s = await(t, db, "room, when all is sent", func(s mqttdb.Status) bool { return s.Outgoing.Pending == 0 && s.Outgoing.Trouble == "" }).Outgoing
	if s.Sent != accepted || s.Accepted != accepted {
		t.Errorf("%d accepted, and the books say %d, %d of them sent", accepted, s.Accepted, s.Sent)
	}
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is cleared makes room, also where each file of a full disk still has much that
// is not: nothing else has to go for that.
func TestClearedSpaceComesBack(t *testing.T) {
	if !smalldisk.Alone(t) {
		return
	}
	disk := smalldisk.Mount(t, 40<<20)
	upstream := mosquitto.Start(t)
	upstream.Kill()
	db := open(t, disk.Path("data"), upstream, config.None)
	conn := db.Connection("up")
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = conn.Publish(t.Context(), mqttdb.Message{Topic: []string{"keep", "clear", "clear"}[n%3], Payload: make([]byte, 1000), QoS: 1})
	}
	if !errors.Is(err, mqttdb.ErrDiskFull) {
		t.Fatal(err)
	}
	n--
	disk.Fill()
	cleared, err := conn.Clear(t.Context(), mqttdb.Selection{Filter: "clear"})
	if err != nil || cleared != uint64(n)-uint64(n+2)/3 {
		t.Fatalf("cleared %d of %d: %v", cleared, n, err)
	}
	kept := uint64(n) - cleared
	await(t, db, "room", func(s mqttdb.Status) bool { return s.Outgoing.Trouble == "" })
	fill(t, db, 1)
	if _, err := conn.Clear(t.Context(), mqttdb.Selection{Filter: "t"}); err != nil {
		t.Fatal(err)
	}
	upstream.Restart()
	s := await(t, db, "all is sent", func(s mqttdb.Status) bool { return s.Outgoing.Pending == 0 }).Outgoing
	if s.Sent != kept || s.Quarantined > 0 {
		t.Errorf("%d were not cleared, and the books are %+v", kept, s)
	}
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
