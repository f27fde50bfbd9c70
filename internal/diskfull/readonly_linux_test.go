package diskfull

import (
	"path/filepath"
	"testing"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/smalldisk"
)

// When the data cannot be written any more what is stored is sent, from files that
// can only be read, and is not sent again when it can be written. Guarantee 11.
func TestBecomesReadOnly(t *testing.T) {
	if !smalldisk.Alone(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	upstream := mosquitto.Start(t)
	db := openOffline(t, dir, upstream, config.None)
	const size = 1 << 20
	publish(t, db, 90, size) // more files than are kept open
	writable := smalldisk.ReadOnly(t, filepath.Join(dir, "up", "outgoing"))
	taken := 90
	for { // the file that is being written is open, until it is full
		_, err := db.Connection("up").Publish(t.Context(), mqttdb.Message{Topic: "t", Payload: make([]byte, size), QoS: 1})
		if err != nil {
			break
		}
		if taken++; taken > 100 {
			t.Fatal("nothing is refused")
		}
	}
	refuses(t, db, "read-only")
	upstream.Restart()
	s := await(t, db, "all is sent", func(s mqttdb.Status) bool { return s.Outgoing.Pending == 0 }).Outgoing
	if s.Sent != uint64(taken) || s.Trouble == "" {
		t.Errorf("%d were taken, the status is %+v", taken, s)
	}
	writable()
	s = await(t, db, "the end of the trouble", func(s mqttdb.Status) bool { return s.Outgoing.Trouble == "" }).Outgoing
	if s.Sent != uint64(taken) || s.Accepted != s.Sent {
		t.Errorf("%d were taken, and when it can be written again the books are %+v", taken, s)
	}
	publish(t, db, 1, 10)
	await(t, db, "that is sent, too", func(s mqttdb.Status) bool { return s.Outgoing.Sent == uint64(taken)+1 })
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
