//go:build !js

package nutsdb

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What the disk cannot read is an error at first, so that a fault that goes away
// costs nothing; if it is still there when the queue was opened again, the
// messages are given up and the queue goes on.
func TestBadSector(t *testing.T) {
	for _, test := range []struct {
		name   string
		lives  int // with the fault
		errs   []bool
		lost   uint64
		remain int
	}{
		{"it goes away", 1, []bool{true, false}, 0, 2},
		{"it stays", 3, []bool{true, false, false}, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.TempDir(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var bad uint64 // the key of an entry
			s.disk.read = func(d *database, key uint64) ([]byte, error) {
				if key == bad {
					return nil, &fs.PathError{Op: "read", Path: "0.dat", Err: syscall.EIO}
				}
				return d.get(key)
			}
			q, err := s.Open(t.Context(), "a/outgoing")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := q.Write(t.Context(), persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t"}}}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			bad = 3 // the second message: a state is in front of both
			remain := 0
			for life, fails := range test.errs {
				if life == test.lives {
					bad = 0
				}
				if q, err = s.Open(t.Context(), "a/outgoing"); err != nil {
					t.Fatal(err)
				}
				records, err := q.Read(t.Context(), nil, 0, persistence.Limit{})
				if fails != (err != nil) || fails && !errors.Is(err, syscall.EIO) {
					t.Errorf("life %d: %v", life, err)
				}
				remain = len(records)
				if life < len(test.errs)-1 {
					if err := q.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			if lost := q.State().Counters.Left[types.Quarantined]; lost != test.lost || remain != test.remain {
				t.Errorf("%d messages, %d lost; want %d and %d", remain, lost, test.remain, test.lost)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
