//go:build !js

package nutsdb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What goes bad while the queue runs is found before anybody reads it, counted, and
// a copy of it kept; an older copy of the message serves if there is one. So is a
// state, and then nothing is lost at all.
func TestDamageIsFoundInTheBackground(t *testing.T) {
	for _, c := range []struct {
		name string
		kind persistence.Kind
		lost uint64
	}{
		{"a batch", persistence.KindBatch, 10},
		{"a state", persistence.KindState, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			s, err := Open(t.TempDir(), Options{SegmentSize: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			q, err := s.Open(ctx, faultQueue)
			if err != nil {
				t.Fatal(err)
			}
			entries := make([]persistence.Entry, 10)
			for i := range entries {
				entries[i].Message = types.Message{Topic: "t", Payload: make([]byte, 1000), QoS: 1}
			}
			for range 20 {
				if _, err := q.Write(ctx, persistence.Commit{Messages: entries}); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			// Sealed by a life before, so that it is known which bytes they are.
			if err := q.Close(ctx); err != nil {
				t.Fatal(err)
			}
			if q, err = s.Open(ctx, faultQueue); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(s.dir, filepath.FromSlash(faultQueue))
			var victim place
			for _, p := range places(t, dir) {
				b := readFile(t, segmentFile(dir, p.segment, dataSuffix))[p.offset:p.end()]
				h, _ := parseEntryHeader(b)
				if head, err := persistence.DecodeHeader(b[h.length+keySize:]); err == nil && head.Kind == c.kind && (c.lost == 0 || victim.key == 0) {
					victim = p // of states the newest
				}
			}
			path := segmentFile(dir, victim.segment, dataSuffix)
			b := readFile(t, path)
			b[victim.offset+victim.bytes/2+20] ^= 4
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
			written := q.State().BytesWritten
			for more := true; more; {
				did, err := q.(persistence.Compacter).Compact(ctx, 64<<10)
				if err != nil {
					t.Fatal(err)
				}
				more = did.More
			}
			st := q.State()
			if got := st.Counters.Left[types.Quarantined]; got != c.lost || st.Pending() != 200-c.lost {
				t.Errorf("%d messages are quarantined and %d pending, want %d and %d", got, st.Pending(), c.lost, 200-c.lost)
			}
			if c.lost == 0 && st.BytesWritten == written {
				t.Error("no other state was written")
			}
			if c.lost > 0 && !keptCopy(dir, fault{segment: victim.segment, bytes: b[victim.offset:victim.end()]}) {
				t.Error("there is no copy of it")
			}
		})
	}
}
