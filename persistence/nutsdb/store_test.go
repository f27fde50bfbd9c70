//go:build !js

package nutsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{SegmentSize: testSegment})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openQueue(t *testing.T, s *Store, name string) persistence.Queue {
	t.Helper()
	q, err := s.Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestStoreKeepsMessages(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "data")
	s := openStore(t, dir)
	if names, err := s.Names(ctx); err != nil || len(names) > 0 {
		t.Errorf("names of nothing: %v, %v", names, err)
	}
	q := openQueue(t, s, "cloud/outgoing")
	if _, ok := q.(persistence.Compacter); !ok {
		t.Error("the queue is no Compacter")
	}
	const messages = 200
	for i := range messages {
		c := persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{
			Topic: "a/b", Payload: []byte(strings.Repeat(fmt.Sprint(i), 500)),
		}}}}
		if _, err := q.Write(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	openQueue(t, s, "cloud/incoming")
	if err := s.Close(); err != nil { // closes both
		t.Fatal(err)
	}
	if _, err := s.Open(ctx, "cloud/outgoing"); !errors.Is(err, types.ErrClosed) {
		t.Errorf("open after close: %v", err)
	}

	s = openStore(t, dir)
	if names, err := s.Names(ctx); err != nil || !slices.Equal(names, []string{"cloud/incoming", "cloud/outgoing"}) {
		t.Errorf("names: %v, %v", names, err)
	}
	q = openQueue(t, s, "cloud/outgoing")
	records, err := q.Read(ctx, nil, 0, persistence.Limit{})
	if err != nil || len(records) != messages {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, r := range records {
		if want := strings.Repeat(fmt.Sprint(i), 500); r.Seq != types.Seq(i+1) || string(r.Message.Payload) != want {
			t.Fatalf("record %d has seq %d", i, r.Seq)
		}
	}
	if q.State().DuplicatesPossible {
		t.Error("duplicates are possible")
	}
}

// A process that is killed while it writes leaves a write that is cut off. It
// had not been acknowledged: all before it is there, and that is no damage.
func TestStoreKilledWhileWriting(t *testing.T) {
	ctx := context.Background()
	const messages = 20
	dir := t.TempDir()
	q := openQueue(t, openStore(t, dir), "cloud/outgoing")
	for i := range messages {
		c := persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "a/b", Payload: fmt.Append(nil, strings.Repeat("x", 500), i)}}}}
		if _, err := q.Write(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	killed := t.TempDir()
	copied := filepath.Join(killed, "cloud", "outgoing")
	if err := errors.Join(os.Mkdir(filepath.Dir(copied), 0o700), os.Rename(copyDir(t, filepath.Join(dir, "cloud", "outgoing")), copied)); err != nil {
		t.Fatal(err)
	}
	file := segmentFile(copied, 1, dataSuffix)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	end := len(strings.TrimRight(string(b), "\x00"))
	clear(b[end-100:])
	writeFile(t, file, b)

	q = openQueue(t, openStore(t, killed), "cloud/outgoing")
	s := q.State()
	if s.DuplicatesPossible || s.Pending() != messages-1 || s.Counters.Accepted != messages-1 || s.Counters.Left[types.Quarantined] != 0 {
		t.Errorf("%+v", s)
	}
	if s.Next <= messages+1 {
		t.Errorf("the next number is %d: it may have been given out", s.Next)
	}
}

func TestStoreHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, openStore(t, dir), "cloud/outgoing")
	for _, s := range []*Store{openStore(t, dir), openStore(t, dir)} {
		_, err := s.Open(context.Background(), "cloud/outgoing")
		if !errors.Is(err, types.ErrInUse) {
			t.Fatalf("second open: %v", err)
		}
		for _, part := range []string{filepath.Join(dir, "cloud", "outgoing"), fmt.Sprint(os.Getpid())} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
	}
	if err := q.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	openQueue(t, openStore(t, dir), "cloud/outgoing")
}

func TestStoreNames(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"a/outgoing", "b/incoming", "b/other", "c/outgoing", ".d/outgoing", "e"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "a/outgoing/STORE"), []byte("x"))
	writeFile(t, filepath.Join(dir, "b/incoming/3.dat"), nil)
	writeFile(t, filepath.Join(dir, "c/outgoing/notes.txt"), nil)
	writeFile(t, filepath.Join(dir, ".d/outgoing/STORE"), nil)
	writeFile(t, filepath.Join(dir, "e/outgoing"), nil)
	writeFile(t, filepath.Join(dir, "file"), nil)
	names, err := openStore(t, dir).Names(context.Background())
	if err != nil || !slices.Equal(names, []string{"a/outgoing", "b/incoming"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestStoreRefusesNames(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for _, name := range []string{"", "cloud", "cloud/", "/outgoing", "../outgoing", "cloud/dead", "a/b/outgoing", ".cloud/outgoing", `a\b/outgoing`, strings.Repeat("x", 65) + "/outgoing"} {
		if _, err := s.Open(context.Background(), name); err == nil {
			t.Errorf("%q was opened", name)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("something was made: %v", entries)
	}
}

// A directory that is not ours is left as it was.
func TestStoreRefusesForeignDirectories(t *testing.T) {
	nuts := t.TempDir() // NutsDB, but not ours
	m := openDir(t, nuts, testSegment)
	if _, err := m.Append(1, []byte("something else")); err != nil {
		t.Fatal(err)
	}
	m.Close()
	os.Remove(filepath.Join(nuts, storeName))
	os.Remove(filepath.Join(nuts, lockName))
	merged := usedStore(t, 30)
	writeFile(t, filepath.Join(merged, "merge_0.dat"), []byte("x"))

	for _, test := range []struct {
		name    string
		dir     string
		files   []string
		message string
	}{
		{"other files", "", []string{"a.txt", "b.txt", "c.txt", "d.txt", "e.txt"}, "a.txt, b.txt, c.txt and 2 more"},
		{"a data file of another name", "", []string{"007.dat"}, "007.dat"},
		{"number zero", "", []string{"0.dat"}, "0.dat"},
		{"another program's database", nuts, nil, "1.dat"},
		{"files that NutsDB would read", merged, nil, "merge_0.dat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := test.dir
			if dir == "" {
				dir = t.TempDir()
			}
			for _, name := range test.files {
				writeFile(t, filepath.Join(dir, name), []byte("x"))
			}
			before := snapshot(t, dir)
			_, err := tryOpen(dir, testSegment)
			if !errors.Is(err, types.ErrForeign) || !strings.Contains(err.Error(), test.message) || !strings.Contains(err.Error(), dir) {
				t.Errorf("open: %v", err)
			}
			if after := snapshot(t, dir); before != after {
				t.Errorf("it was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// snapshot is the names and contents below dir, but for the lock.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockName {
			return err
		}
		fmt.Fprintf(&s, "%s %08x\n", e.Name(), persistence.Checksum(readFile(t, path)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// Inspect changes nothing, so that a store of a newer version stays intact.
func TestStoreInspectChangesNothing(t *testing.T) {
	dir := usedStore(t, 60)
	before := snapshot(t, dir)
	src := testSource(dir, testSegment)
	if _, err := src.Inspect(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := src.Release(); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, dir); before != after {
		t.Errorf("it was changed from\n%s\nto\n%s", before, after)
	}
	openDir(t, dir, testSegment).wantKeys(t, 1, 60) // and the lock is free
}

func TestStoreRefusesNewerFormat(t *testing.T) {
	dir := usedStore(t, 30)
	b := storeFile{segmentSize: testSegment, record: []byte("record")}.encode()
	b[4] = storeVersion + 1
	writeFile(t, filepath.Join(dir, storeName), sign(b))
	before := snapshot(t, dir)
	if _, err := tryOpen(dir, testSegment); !errors.Is(err, types.ErrNewerFormat) {
		t.Errorf("open: %v", err)
	}
	if after := snapshot(t, dir); before != after {
		t.Error("it was changed")
	}
}

func TestStoreInspectCanBeCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	src := testSource(usedStore(t, 30), testSegment)
	if _, err := src.Inspect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("inspect: %v", err)
	}
	if err := src.Release(); err != nil {
		t.Error(err)
	}
}

func TestStoreFileInTheWay(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, []byte("x"))
	var told *types.StoreError
	if _, err := Open(file, Options{}); !errors.As(err, &told) || told.Hint == "" {
		t.Errorf("a file as data_dir: %v", err)
	}
	for _, path := range []string{file, filepath.Join(file, "cloud", "outgoing")} {
		if _, err := tryOpen(path, testSegment); !errors.As(err, &told) || told.Hint == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "cloud"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cloud", "outgoing"), nil)
	if _, err := openStore(t, dir).Open(context.Background(), "cloud/outgoing"); !errors.As(err, &told) || told.Hint == "" {
		t.Errorf("a file as queue: %v", err)
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		hint string
	}{
		{syscall.ENOSPC, "disk full"},
		{syscall.EDQUOT, "disk full"},
		{syscall.EROFS, "read-only"},
		{syscall.EACCES, "make /data writable"},
		{syscall.EPERM, "make /data writable"},
		{syscall.EMFILE, "ulimit"},
		{syscall.EIO, "the disk reports errors"},
		{syscall.ENOTDIR, "a file is where"},
		{types.ErrInUse, "stop that process"},
		{errors.New("anything"), ""},
	} {
		t.Run(test.err.Error(), func(t *testing.T) {
			var told *types.StoreError
			err := explain("open", "/data", &fs.PathError{Op: "open", Path: "/data/STORE", Err: test.err})
			if !errors.As(err, &told) || !strings.Contains(told.Hint, test.hint) || (told.Hint == "") != (test.hint == "") {
				t.Errorf("%v", err)
			}
			if again := explain("read", "/data", err); again != err {
				t.Errorf("explained twice: %v", again)
			}
		})
	}
	if err := explain("open", "/data", syscall.EROFS); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a read-only file system is no matter of permission: %v", err)
	}
	for _, err := range []error{types.ErrForeign, types.ErrNewerFormat, types.ErrClosed, nil} {
		if got := explain("open", "/data", err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// After a failure the directory must take a segment again before it is opened.
func TestStoreProbesAfterFailure(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	openQueue(t, s, "cloud/outgoing").Close(context.Background())
	s.forget("cloud/outgoing", true)
	inTheWay := filepath.Join(dir, "cloud", "outgoing", probeName)
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	var told *types.StoreError
	if _, err := s.Open(context.Background(), "cloud/outgoing"); !errors.As(err, &told) {
		t.Errorf("open: %v", err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	openQueue(t, s, "cloud/outgoing")
	if _, err := os.Stat(inTheWay); err == nil {
		t.Error("the probe is left behind")
	}
}

func TestOptions(t *testing.T) {
	for _, size := range []int64{-1, 1, minSegmentSize - 1, SegmentSize + 1} {
		if _, err := Open(t.TempDir(), Options{SegmentSize: size}); err == nil {
			t.Errorf("segment size %d is taken", size)
		}
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "cloud", "outgoing")
	m := openDir(t, dir, testSegment)
	appendKeys(t, m, 1, 60)
	mustSync(t, m)
	m.Close()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o", path, got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
