//go:build !js

package nutsdb

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

func TestMediumKeepsWhatWasAppended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud", "outgoing")
	m := openDir(t, dir, testSegment)
	if m.contents.Record != nil || len(m.contents.Entries) > 0 || len(m.contents.Segments) > 0 {
		t.Fatalf("a new place has %+v", m.contents)
	}
	segments := appendKeys(t, m, 1, 100)
	for key := uint64(2); key <= 100; key++ {
		if segments[key] < segments[key-1] {
			t.Errorf("entry %d lies in segment %d, behind %d", key, segments[key], segments[key-1])
		}
	}
	if segments[100] == segments[1] {
		t.Fatal("the test needs several segments")
	}
	for key := uint64(1); key <= 100; key++ {
		if got, err := m.Load(key); err != nil || !bytes.Equal(got, value(key)) {
			t.Fatalf("load %d: %v", key, err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	for round := range 3 { // the second finds manifests, the third an empty segment, too
		m = openDir(t, dir, 0) // the size of the segments is that of the store
		m.wantNoDamage(t)
		found := m.keysOf(t)
		if len(found) != 100 {
			t.Fatalf("round %d: %d entries", round, len(found))
		}
		for key, segment := range found {
			if segment != segments[key] {
				t.Errorf("round %d: entry %d in segment %d, was appended to %d", round, key, segment, segments[key])
			}
		}
		if !bytes.Equal(m.contents.Record, persistence.EncodeStoreRecord(testStore)) {
			t.Errorf("record %x", m.contents.Record)
		}
		if m.max >= testSegment {
			t.Errorf("the segment size was not kept")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMediumContentsAreInOrder(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	appendKeys(t, m, 1, 60)
	m.Close()
	m = openDir(t, dir, testSegment)
	appendKeys(t, m, 61, 90)
	m.Close()
	c := openDir(t, dir, testSegment).contents
	for i, e := range c.Entries {
		if e.Key != uint64(i+1) {
			t.Fatalf("entry %d has key %d", i, e.Key)
		}
	}
	used := make(map[uint64]int64)
	for _, e := range c.Entries {
		used[e.Segment] += int64(e.Size)
	}
	for i, s := range c.Segments {
		if i > 0 && s.ID <= c.Segments[i-1].ID {
			t.Errorf("segment %d behind %d", s.ID, c.Segments[i-1].ID)
		}
		if s.Bytes < used[s.ID] || s.Bytes > testSegment {
			t.Errorf("segment %d: %d bytes used, its values have %d", s.ID, s.Bytes, used[s.ID])
		}
	}
}

// What is forgotten is out of memory, and not a byte is written for it.
func TestMediumForget(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	appendKeys(t, m, 1, 50)
	var keys []uint64
	for key := uint64(1); key <= 50; key += 2 {
		keys = append(keys, key)
	}
	used := m.db.used()
	if err := m.Forget(append(keys, 999)); err != nil { // 999 never was
		t.Fatal(err)
	}
	if m.db.used() != used {
		t.Errorf("%d bytes were written", m.db.used()-used)
	}
	if _, err := m.Load(1); !errors.Is(err, types.ErrCorrupt) {
		t.Errorf("load of a forgotten entry: %v", err)
	}
	for key := uint64(2); key <= 50; key += 2 {
		if got, err := m.Load(key); err != nil || !bytes.Equal(got, value(key)) {
			t.Errorf("load %d: %v", key, err)
		}
	}
	m.Close()
	m = openDir(t, dir, testSegment)
	if n := len(m.keysOf(t)); n != 50 {
		t.Errorf("%d entries after opening, want those that lie there", n)
	}
}

// A NutsDB whose index is not to be found writes that keys are deleted, as earlier
// versions of this package did.
func TestMediumDeletes(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	appendKeys(t, m, 1, 50)
	for key := uint64(1); key <= 50; key += 2 {
		if err := m.db.delete(key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Load(1); !errors.Is(err, types.ErrCorrupt) {
		t.Errorf("load of a deleted entry: %v", err)
	}
	m.Close()
	m = openDir(t, dir, testSegment)
	if n := len(m.keysOf(t)); n != 25 {
		t.Errorf("%d entries, want 25", n)
	}
	if _, err := m.Load(1); !errors.Is(err, types.ErrCorrupt) {
		t.Errorf("load of a deleted entry after opening: %v", err)
	}
}

func TestMediumDrop(t *testing.T) {
	for _, test := range []struct {
		name     string
		sync     bool
		reopened bool
	}{
		{"unsynced", false, false},
		{"synced", true, false},
		{"reopened", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			m := openDir(t, dir, testSegment)
			segments := appendKeys(t, m, 1, 100)
			if test.sync {
				mustSync(t, m)
			}
			if test.reopened {
				m.Close()
				m = openDir(t, dir, testSegment)
				m.wantKeys(t, 1, 100)
			}
			below := segments[70]
			var lost uint64
			for key, segment := range segments {
				if segment < below {
					lost = max(lost, key)
				}
			}
			reclaimed, err := m.Drop(below)
			if err != nil || reclaimed < int64(lost)*1000 {
				t.Fatalf("drop: %d bytes, %v", reclaimed, err)
			}
			if n, err := m.Drop(below); n != 0 || err != nil {
				t.Fatalf("drop again: %d bytes, %v", n, err)
			}
			if _, err := m.Load(lost + 1); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Drop(1 << 40); err != nil { // the active one stays
				t.Fatal(err)
			}
			if _, err := m.Append(101, value(101)); err != nil {
				t.Fatal(err)
			}
			mustSync(t, m)
			m.Close()
			m = openDir(t, dir, testSegment)
			m.wantNoDamage(t)
			found := m.keysOf(t)
			if _, ok := found[101]; !ok || len(found) > 100-int(lost)+1 {
				t.Errorf("found %d entries", len(found))
			}
			names, err := list(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range append(names.seals, names.hints...) {
				if _, err := os.Stat(segmentFile(dir, id, dataSuffix)); err != nil {
					t.Errorf("files of segment %d are left behind", id)
				}
			}
		})
	}
}

func TestMediumTakesTheLargestValue(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, 0)
	large := entryValue(testStore, 1, journal.MaxValue-persistence.HeaderSize)
	first, err := m.Append(1, large)
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Append(2, entryValue(testStore, 2, journal.MaxValue-persistence.HeaderSize))
	if err != nil || second == first {
		t.Fatalf("segments %d and %d: %v", first, second, err)
	}
	m.Close()
	m = openDir(t, dir, 0)
	m.wantNoDamage(t)
	if got, err := m.Load(1); err != nil || !bytes.Equal(got, large) {
		t.Fatalf("load: %v", err)
	}
	if _, err := m.Append(3, make([]byte, SegmentSize)); !errors.Is(err, types.ErrTooLarge) {
		t.Errorf("a larger one: %v", err)
	}
}

func TestMediumDoesNotKeepTheValue(t *testing.T) {
	m := openDir(t, t.TempDir(), testSegment)
	v := value(7)
	if _, err := m.Append(7, v); err != nil {
		t.Fatal(err)
	}
	clear(v)
	got, err := m.Load(7)
	if err != nil || !bytes.Equal(got, value(7)) {
		t.Fatalf("load: %v", err)
	}
	clear(got)
	if again, err := m.Load(7); err != nil || !bytes.Equal(again, value(7)) {
		t.Fatalf("the value belongs to the caller: %v", err)
	}
}

func TestMediumSyncWhileAppending(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	var syncing sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		syncing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := m.Sync(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	segments := appendKeys(t, m, 1, 300)
	if _, err := m.Drop(segments[100]); err != nil {
		t.Fatal(err)
	}
	if err := m.Forget([]uint64{250}); err != nil {
		t.Fatal(err)
	}
	close(stop)
	syncing.Wait()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Sync(); !errors.Is(err, types.ErrClosed) {
		t.Errorf("sync after close: %v", err)
	}
	openDir(t, dir, testSegment).wantNoDamage(t)
}

// Under a policy that never syncs, neither open files nor what a power cut
// takes grow without bounds.
func TestMediumSyncsByItself(t *testing.T) {
	src := testSource(t.TempDir(), testSegment)
	if _, err := src.Inspect(context.Background()); err != nil {
		t.Fatal(err)
	}
	synced := make(map[string]bool)
	src.disk.sync = func(f *os.File) error { synced[f.Name()] = true; return syncData(f) }
	m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	segments := appendKeys(t, m, 1, 400)
	if full := int(segments[400] - segments[1]); len(synced) < full-maxUnsynced {
		t.Errorf("%d of %d full segments were synced", len(synced), full)
	}
}

// What a Sync covers: the segment that is appended to, those that were filled,
// and their names.
func TestMediumSyncCoversRotation(t *testing.T) {
	src := testSource(t.TempDir(), testSegment)
	if _, err := src.Inspect(context.Background()); err != nil {
		t.Fatal(err)
	}
	var synced []string
	src.disk.sync = func(f *os.File) error { synced = append(synced, filepath.Base(f.Name())); return nil }
	src.disk.syncNames = func(string) error { synced = append(synced, "names"); return nil }
	m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	segment, key := uint64(1), uint64(0)
	for segment < 3 {
		key++
		if segment, err = m.Append(key, value(key)); err != nil {
			t.Fatal(err)
		}
	}
	synced = nil // the names, when it was opened
	mustSync(t, m)
	mustSync(t, m)
	if want := []string{"1.dat", "2.dat", "3.dat", "names"}; !slices.Equal(synced, want) {
		t.Errorf("synced %v, want %v", synced, want)
	}
}

// An error of fsync is final: the kernel may have thrown the pages away and
// call the next one a success.
func TestMediumSyncErrorIsFinal(t *testing.T) {
	dir := t.TempDir()
	src := testSource(dir, testSegment)
	if _, err := src.Inspect(context.Background()); err != nil {
		t.Fatal(err)
	}
	broken, calls := errors.New("the disk is on fire"), 0
	src.disk.sync = func(*os.File) error {
		if calls++; calls == 2 {
			return broken
		}
		return nil
	}
	failed := false
	src.closed = func(f bool) { failed = f }
	m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
	if err != nil {
		t.Fatal(err)
	}
	appendKeys(t, m, 1, 1)
	mustSync(t, m)
	appendKeys(t, m, 2, 2)
	for range 2 {
		if err := m.Sync(); !errors.Is(err, broken) {
			t.Errorf("sync: %v", err)
		}
	}
	if calls != 2 {
		t.Errorf("it was tried %d times", calls)
	}
	if _, err := m.Append(3, value(3)); !errors.Is(err, broken) {
		t.Errorf("append: %v", err)
	}
	if err := m.Forget([]uint64{1}); !errors.Is(err, broken) {
		t.Errorf("forget: %v", err)
	}
	if _, err := m.Drop(9); !errors.Is(err, broken) {
		t.Errorf("drop: %v", err)
	}
	if err := m.Close(); err != nil || !failed {
		t.Errorf("close: %v, failed %v", err, failed)
	}
	openDir(t, dir, testSegment).keysOf(t)
}

// Two syncs go on at once, each with a descriptor of its own, for the kernel
// tells of a failed write once per descriptor. One that finds nothing new still
// waits for the disk, while what it answers for is on its way there.
func TestMediumSyncsBesideASync(t *testing.T) {
	src := testSource(t.TempDir(), testSegment)
	if _, err := src.Inspect(context.Background()); err != nil {
		t.Fatal(err)
	}
	m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
	if err != nil {
		t.Fatal(err)
	}
	appendKeys(t, m, 1, 1)
	mustSync(t, m)
	begun, goOn := make(chan *os.File), make(chan struct{})
	m.(*medium).disk.sync = func(f *os.File) error {
		begun <- f
		<-goOn
		return nil
	}
	appendKeys(t, m, 2, 2)
	var syncs sync.WaitGroup
	for range 2 {
		syncs.Go(func() { mustSync(t, m) })
	}
	if first, second := <-begun, <-begun; first == second {
		t.Error("both use the same descriptor")
	}
	close(goOn)
	syncs.Wait()
	mustSync(t, m) // nothing is left to be synced, or it would never end
	m.(*medium).disk.sync = realDisk.sync
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// NutsDB fails between two segments: no panic, no hanging Close, no lock left.
func TestMediumRotationFails(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	segments := appendKeys(t, m, 1, 3)
	mustSync(t, m)
	inTheWay := segmentFile(dir, segments[3]+1, dataSuffix)
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	last := uint64(3)
	for err == nil && last < 100 {
		last++
		_, err = m.Append(last, value(last))
	}
	if err == nil {
		t.Fatal("the append that needs another segment did not fail")
	}
	if _, again := m.Append(last, value(last)); again == nil {
		t.Error("it takes more")
	}
	if _, err := m.Load(1); err != nil {
		t.Errorf("load: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := tryOpen(dir, testSegment); !errors.Is(err, types.ErrForeign) {
		t.Errorf("open with a directory in the way: %v", err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	m = openDir(t, dir, testSegment)
	m.wantKeys(t, 1, last-1)
}

// NutsDB leaves one goroutine behind for each Close; nothing else may stay.
func TestMediumLeaks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("file descriptors are counted on linux only")
	}
	dir := t.TempDir()
	cycle := func(key uint64) {
		m := openDir(t, dir, testSegment)
		appendKeys(t, m, key, key)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Nothing is to be left to the collector, which closes what it finds.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	cycle(1)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	const cycles = 50
	for i := range uint64(cycles) {
		cycle(i + 2)
	}
	if n := runtime.NumGoroutine() - goroutines; n > cycles+5 {
		t.Errorf("%d goroutines more after %d cycles", n, cycles)
	}
	if n := openFiles(t) - files; n > 0 {
		t.Errorf("%d files more after %d cycles", n, cycles)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	return len(entries)
}

// A power cut may leave the names that were removed since the last sync of the
// directory in any order: so that none is missing between two that are there, no more
// than one segment is removed before that.
func TestDropSyncsBetweenSegments(t *testing.T) {
	dir := t.TempDir()
	src := testSource(dir, testSegment)
	if _, err := src.Inspect(context.Background()); err != nil {
		t.Fatal(err)
	}
	var there int // data files that a power cut may leave
	src.disk.syncNames = func(dir string) error {
		files, err := filepath.Glob(filepath.Join(dir, "*"+dataSuffix))
		if there > len(files)+1 {
			t.Errorf("%d segments were removed at once", there-len(files))
		}
		there = len(files)
		return err
	}
	m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
	if err != nil {
		t.Fatal(err)
	}
	segments := appendKeys(t, m, 1, 300)
	mustSync(t, m)
	before := there
	if before < 8 {
		t.Fatalf("%d segments are too few", before)
	}
	for _, below := range []uint64{segments[1] + 4, segments[1] + 6} {
		if _, err := m.Drop(below); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if there != before-6 {
		t.Errorf("%d of %d segments are left", there, before)
	}
	openDir(t, dir, testSegment).wantNoDamage(t)
}
