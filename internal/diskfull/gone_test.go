//go:build unix

package diskfull

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// publish publishes n messages, which are to be taken.
func publish(t *testing.T, db *mqttdb.DB, n, size int) {
	t.Helper()
	for range n {
		if _, err := db.Connection("up").Publish(t.Context(), mqttdb.Message{Topic: "t", Payload: make([]byte, size), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// refuses says what a message is refused with.
func refuses(t *testing.T, db *mqttdb.DB, hint string) {
	t.Helper()
	_, err := db.Connection("up").Publish(t.Context(), mqttdb.Message{Topic: "t", QoS: 1})
	var trouble *mqttdb.StoreError
	if !errors.As(err, &trouble) || !strings.Contains(trouble.Hint, hint) {
		t.Fatalf("Publish = %v, want an error with a hint: %s", err, hint)
	}
	if s := db.Connection("up").Status().Outgoing; !strings.Contains(s.Trouble, hint) {
		t.Fatalf("the status does not say so: %+v", s)
	}
}

// A directory that is moved away while it is in use is noticed at once; what is
// stored there is sent, and that is recorded when it is put back. Guarantee 11.
func TestDirectoryIsMovedAway(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	upstream := mosquitto.Start(t)
	db := openOffline(t, dir, upstream, config.None)
	publish(t, db, 50, 100)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	refuses(t, db, "put "+filepath.Join(dir, "up", "outgoing")+" back")
	upstream.Restart()
	s := await(t, db, "all is sent", func(s mqttdb.Status) bool { return s.Outgoing.Sent == 50 }).Outgoing
	if s.Pending != 0 || s.Trouble == "" {
		t.Errorf("the status is %+v", s)
	}
	if err := os.RemoveAll(dir); err != nil { // nothing is there, unless it was begun anew
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	s = await(t, db, "the end of the trouble", func(s mqttdb.Status) bool { return s.Outgoing.Trouble == "" }).Outgoing
	if s.Accepted != 50 || s.Sent != 50 {
		t.Errorf("when it is back the books are %+v", s)
	}
	publish(t, db, 1, 100)
	await(t, db, "that is sent, too", func(s mqttdb.Status) bool { return s.Outgoing.Sent == 51 })
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A directory that is removed while it is in use is begun anew, when nothing more
// can be sent of what was in it.
func TestDirectoryIsRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	upstream := mosquitto.Start(t)
	db := open(t, dir, upstream, config.None)
	publish(t, db, 50, 100)
	await(t, db, "all is sent", func(s mqttdb.Status) bool { return s.Outgoing.Sent == 50 })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	refuses(t, db, "begun anew")
	await(t, db, "the end of the trouble", func(s mqttdb.Status) bool { return s.Outgoing.Trouble == "" })
	publish(t, db, 2, 100)
	s := await(t, db, "that is sent", func(s mqttdb.Status) bool { return s.Outgoing.Sent == 2 }).Outgoing
	if s.Accepted != 2 {
		t.Errorf("the books of the new store are %+v", s)
	}
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "up", "outgoing", "STORE")); err != nil {
		t.Errorf("what was begun anew is not there: %v", err)
	}
}
