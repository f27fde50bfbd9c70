//go:build unix

package nutsdb

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What is written to a place that others have taken away nobody would ever find: it
// is refused, and noticed by compaction, also while nothing is written. Guarantee 11.
func TestPlaceIsTakenAway(t *testing.T) {
	ways := []struct {
		name string
		take func(dir string) error
	}{
		{"removed", os.RemoveAll},
		{"moved", func(dir string) error { return os.Rename(dir, dir+".away") }},
		{"an empty one in its place", func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) }},
		{"a file in its place", func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }},
		{"a file in the place of the connection's", func(dir string) error {
			up := filepath.Dir(dir)
			return errors.Join(os.RemoveAll(up), os.WriteFile(up, nil, 0o600))
		}},
		{"the newest segment removed", func(dir string) error { return os.Remove(segmentFile(dir, 1, dataSuffix)) }},
	}
	calls := map[string]func(context.Context, persistence.Queue) error{
		"Write": func(ctx context.Context, q persistence.Queue) error {
			_, err := q.Write(ctx, persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t"}}}})
			return err
		},
		"Compact": func(ctx context.Context, q persistence.Queue) error {
			_, err := q.(persistence.Compacter).Compact(ctx, 1<<20)
			return err
		},
	}
	for _, way := range ways {
		for name, call := range calls {
			t.Run(way.name+", "+name, func(t *testing.T) {
				ctx, dir := t.Context(), t.TempDir()
				q := openQueue(t, openStore(t, dir), "cloud/outgoing")
				if err := call(ctx, q); err != nil {
					t.Fatal(err)
				}
				if err := way.take(filepath.Join(dir, "cloud", "outgoing")); err != nil {
					t.Fatal(err)
				}
				if err := call(ctx, q); !errors.Is(err, types.ErrGone) {
					t.Errorf("%s = %v, want that it is gone", name, err)
				}
				if err := q.(persistence.Prober).Probe(ctx); !errors.Is(err, types.ErrGone) {
					t.Errorf("Probe = %v, want that it is gone", err)
				}
			})
		}
	}
}

// A record without a single segment is what is left of a store: that is said, and no
// number is given out again.
func TestOnlyTheRecordIsLeft(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	var log bytes.Buffer
	again := func() (*Store, persistence.Queue) {
		s, err := Open(dir, Options{SegmentSize: testSegment, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return s, openQueue(t, s, "cloud/outgoing")
	}
	c := persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t"}}}}
	s, q := again()
	before, err := q.Write(ctx, c)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "cloud", "outgoing", "*"+dataSuffix))
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s, q = again()
	if !strings.Contains(log.String(), "the store is damaged") {
		t.Errorf("nothing was said of it: %s", &log)
	}
	if after, err := q.Write(ctx, c); err != nil || after <= before {
		t.Errorf("Write = %d, %v, behind number %d", after, err, before)
	}
	log.Reset()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, _ = again(); strings.Contains(log.String(), "damaged") {
		t.Errorf("it is said again: %s", &log)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Something that is no file in the place of one is said to be in the way, and left
// alone: to open it may fail, or never end.
func TestNoFileInThePlaceOfOne(t *testing.T) {
	for _, name := range []string{lockName, storeName, "1" + dataSuffix, "1" + sealSuffix, "1" + hintSuffix, "2" + sealSuffix + tmpSuffix, bucketName, reserveName} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			s := openStore(t, dir)
			if err := openQueue(t, s, "cloud/outgoing").Close(ctx); err != nil {
				t.Fatal(err)
			}
			queue := filepath.Join(dir, "cloud", "outgoing")
			path := filepath.Join(queue, name)
			if err := errors.Join(os.RemoveAll(path), syscall.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Open(ctx, "cloud/outgoing"); !errors.Is(err, types.ErrForeign) || !strings.Contains(err.Error(), name) {
				t.Errorf("Open = %v, want that %s is in the way", err, name)
			}
			if _, _, err := Look(ctx, queue); !errors.Is(err, types.ErrForeign) {
				t.Errorf("Look = %v, want that %s is in the way", err, name)
			}
		})
	}
}

// A file that is not written any more and that somebody removes is missed, once.
func TestOlderFileIsRemoved(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	var log bytes.Buffer
	s, err := Open(dir, Options{SegmentSize: testSegment, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := openQueue(t, s, "cloud/outgoing").Close(ctx); err != nil { // leaves segment 1
		t.Fatal(err)
	}
	q := openQueue(t, s, "cloud/outgoing")
	path := segmentFile(filepath.Join(dir, "cloud", "outgoing"), 1, dataSuffix)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := q.(persistence.Compacter).Compact(ctx, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), path); got != 1 {
		t.Errorf("it was said %d times: %s", got, &log)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
