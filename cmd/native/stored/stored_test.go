//go:build !js

package stored

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

const messages = 2000

// fill stores messages in a queue, of which every third has left, and returns its
// directory.
func fill(t *testing.T) (dir string, s *nutsdb.Store, q persistence.Queue) {
	t.Helper()
	dir = t.TempDir()
	s, err := nutsdb.Open(dir, nutsdb.Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if q, err = s.Open(t.Context(), "cloud/outgoing"); err != nil {
		t.Fatal(err)
	}
	for i := range messages / 20 {
		c := persistence.Commit{Marks: []persistence.Mark{{Key: "session/broker", Value: []byte("mqtt://a")}}}
		for k := range 20 {
			c.Messages = append(c.Messages, persistence.Entry{Enqueued: time.Now(), Message: types.Message{Topic: "a/b", QoS: 1, Payload: fmt.Appendf(nil, "%0100d", i*20+k)}})
		}
		first, err := q.Write(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var done persistence.Commit
		for seq := first; seq < first+20; seq += 3 {
			done.Done = append(done.Done, persistence.Done{Range: persistence.Range{First: seq, Last: seq}, Reason: types.Sent})
		}
		if _, err := q.Write(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cloud", "outgoing"), s, q
}

// content is all that lies in a directory.
func content(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A queue can be looked at while it is in use, after a crash and after a close, and
// nothing changes.
func TestLookingChangesNothing(t *testing.T) {
	dir, s, q := fill(t)
	pending := q.State().Pending()
	look := func(busy bool) {
		t.Helper()
		before := content(t, dir)
		i, err := Inspect(t.Context(), dir, true)
		if err != nil {
			t.Fatal(err)
		}
		if i.Pending != pending || i.Accepted != messages || i.Left["sent"] != messages-pending || i.Busy != busy || i.Missing != 0 || len(i.Damage) > 0 {
			t.Errorf("found %+v, want %d pending", i, pending)
		}
		live, listed := uint64(0), uint32(0)
		for _, s := range i.Segments {
			live += s.Live
		}
		for _, e := range i.Entries {
			listed += e.Live
		}
		if live != pending || uint64(listed) != pending {
			t.Errorf("%d live in segments, %d in entries, want %d", live, listed, pending)
		}
		var b bytes.Buffer
		if err := i.Print(&b); err != nil || !strings.Contains(b.String(), "session/broker") || !strings.Contains(b.String(), fmt.Sprint(pending, " messages")) {
			t.Errorf("%v:\n%s", err, b.String())
		}
		v, err := Verify(t.Context(), dir, nil)
		if err != nil || !v.Sound() || v.Messages != pending || v.Busy != busy {
			t.Errorf("the verdict is %+v, %v", v, err)
		}
		after := content(t, dir)
		for path, was := range before {
			if !bytes.Equal(after[path], was) {
				t.Errorf("%s has changed", path)
			}
		}
		if len(after) != len(before) {
			t.Errorf("there were %d files, there are %d", len(before), len(after))
		}
	}
	look(true)
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look(false)
	again, err := nutsdb.Open(filepath.Dir(filepath.Dir(dir)), nutsdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Open(t.Context(), "cloud/outgoing"); err != nil {
		t.Fatalf("what was looked at cannot be opened: %v", err)
	}
}

// Whatever byte of what was written is changed, cut off or lost, Verify notices.
func TestVerifyFindsDamage(t *testing.T) {
	dir, s, q := fill(t)
	q.Close(context.Background())
	s.Close()
	data, err := filepath.Glob(filepath.Join(dir, "*.dat"))
	if err != nil || len(data) < 3 {
		t.Fatalf("%v, %v", data, err)
	}
	rng := rand.New(rand.NewPCG(4, 2))
	whole := content(t, dir)
	for n := range 200 {
		path := data[rng.IntN(len(data)-1)] // the last one may hold what is not acknowledged
		was := whole[path]
		used := len(bytes.TrimRight(was, "\x00"))
		if used == 0 {
			continue
		}
		what := ""
		switch at := rng.IntN(used); n % 4 {
		case 0, 1:
			what = fmt.Sprintf("bit in byte %d of %s", at, path)
			b := bytes.Clone(was)
			b[at] ^= 1 << rng.IntN(8)
			write(t, path, b)
		case 2:
			what = fmt.Sprintf("%s cut off at %d", path, at)
			write(t, path, was[:at])
		case 3:
			what = path + " removed"
			if path == data[0] {
				continue // as compaction does it
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		v, err := Verify(t.Context(), dir, nil)
		if err == nil && v.Sound() {
			t.Errorf("%s: found sound", what)
		}
		write(t, path, was)
	}
	if v, err := Verify(t.Context(), dir, nil); err != nil || !v.Sound() {
		t.Errorf("put back: %+v, %v", v, err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	dir, s, q := fill(t)
	q.Close(context.Background())
	s.Close()
	for _, place := range []string{dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		if found, err := Find(place); err != nil || len(found) != 1 || found[0] != dir {
			t.Errorf("in %s: %v, %v", place, found, err)
		}
	}
	if _, err := Find(t.TempDir()); !errors.Is(err, errNothing) {
		t.Errorf("in an empty directory: %v", err)
	}
	if _, err := Find(filepath.Join(dir, "STORE")); err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("in a file: %v", err)
	}
	other := t.TempDir()
	write(t, filepath.Join(other, "1.dat"), []byte("something else"))
	if _, err := Inspect(t.Context(), other, false); err != nil && !errors.Is(err, types.ErrForeign) {
		t.Errorf("another program's files: %v", err)
	}
}
