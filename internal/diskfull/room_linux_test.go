package diskfull

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/internal/smalldisk"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

// A queue of which little or nothing lives makes room on a full disk by itself, even
// if only its states keep what it has: no message comes that would bring newer ones.
func TestMakesRoomOfWhatOnlyStatesKeep(t *testing.T) {
	if !smalldisk.Alone(t) {
		return
	}
	for _, segments := range []int{1, 2, 3} { // that it has
		for _, live := range []int{0, 5} { // in the first
			t.Run(fmt.Sprintf("%d segments, %d messages, full disk", segments, live), func(t *testing.T) {
				makesRoom(t, segments, live, (*smalldisk.Disk).Fill)
			})
			t.Run(fmt.Sprintf("%d segments, %d messages, less free than is to be", segments, live), func(t *testing.T) {
				makesRoom(t, segments, live, nil)
			})
		}
	}
}

func makesRoom(t *testing.T, segments, live int, fill func(*smalldisk.Disk)) {
	const segment = 1 << 20
	disk, least := smalldisk.Mount(t, 16<<20), int64(0)
	s, err := nutsdb.Open(disk.Path("data"), nutsdb.Options{SegmentSize: segment, MinFree: func(string) int64 { return least }})
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.Open(t.Context(), "up/outgoing")
	if err != nil {
		t.Fatal(err)
	}
	message := types.Message{Topic: "t", Payload: make([]byte, 32<<10)}
	write := func() error {
		_, err := q.Write(t.Context(), persistence.Commit{Messages: []persistence.Entry{{Message: message}}})
		return err
	}
	for q.State().DiskBytes < uint64(segments)*segment-3*uint64(len(message.Payload)) {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	settled := persistence.Done{Range: persistence.Range{First: types.Seq(1 + live), Last: q.State().Next - 1}, Reason: types.Sent}
	if _, err := q.Write(t.Context(), persistence.Commit{Done: []persistence.Done{settled}}); err != nil {
		t.Fatal(err)
	}
	if fill != nil {
		fill(disk)
	} else {
		least = disk.Available() + segment/4
	}
	taken := 0
	for err = write(); err == nil; err = write() {
		taken++
	}
	if !errors.Is(err, types.ErrDiskFull) {
		t.Fatal(err)
	}
	for passes := 0; q.(persistence.Roomy).Room(t.Context()) != nil; passes++ {
		if passes == 3 {
			t.Fatalf("no room after %d passes: %+v", passes, q.State())
		}
		for more := true; more; {
			c, err := q.(persistence.Compacter).Compact(t.Context(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			more = c.More
		}
	}
	if err := write(); err != nil {
		t.Error(err)
	}
	state := q.State()
	if n := int(state.Next-1-state.Floor) - int(state.Done.Count()); n != live+taken+1 {
		t.Errorf("%d are pending, want %d", n, live+taken+1)
	}
	if err := errors.Join(q.Close(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}
