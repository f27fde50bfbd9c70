//go:build !js

package nutsdb

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
