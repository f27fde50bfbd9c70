//go:build !js

package nutsdb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Whoever looks at a queue does not keep others from opening it, and says so when
// somebody has.
func TestLookLetsOthersIn(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	q := openQueue(t, openStore(t, dir), "cloud/outgoing")
	if _, err := q.Write(ctx, persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := openQueue(t, openStore(t, dir), "cloud/outgoing").Close(ctx); err != nil { // the newest state is in another segment
		t.Fatal(err)
	}
	queue := filepath.Join(dir, "cloud", "outgoing")
	v, busy, err := Look(ctx, queue)
	if err != nil || busy {
		t.Fatalf("Look = %t, %v", busy, err)
	}
	defer v.Close()
	q = openQueue(t, openStore(t, dir), "cloud/outgoing")
	if _, busy, err := Look(ctx, queue); err != nil || !busy {
		t.Errorf("Look at an open queue = %t, %v", busy, err)
	}
	if err := os.Remove(segmentFile(queue, 1, dataSuffix)); err != nil { // as compaction does
		t.Fatal(err)
	}
	for e := range v.Entries() {
		if err := v.Check(e); e.Segment == 1 && !errors.Is(err, types.ErrInUse) {
			t.Errorf("what was given back meanwhile is called %v", err)
		}
	}
	if err := q.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A lock that somebody has for a moment is waited for.
func TestLockIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	before, err := takeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	released := time.AfterFunc(patience/5, func() { _ = before.release() })
	defer released.Stop()
	after, err := takeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer after.release()
	if held, err := isHeld(dir); err != nil || !held {
		t.Errorf("isHeld = %t, %v", held, err)
	}
	if _, err := takeLock(t.Context(), dir); !errors.Is(err, types.ErrInUse) {
		t.Errorf("the second owner got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := takeLock(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("a lock that nobody waits for any more: %v", err)
	}
}
