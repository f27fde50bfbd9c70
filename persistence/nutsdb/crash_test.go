//go:build !js

package nutsdb

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
)

const crashDirEnv = "MQTTDB_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		if err := appendUntilKilled(dir); err != nil {
			fmt.Println("error:", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// keep is how many entries a crashing process keeps, about.
const keep = 200

// appendUntilKilled appends and syncs, forgets and drops, and tells each key
// that it synced.
func appendUntilKilled(dir string) error {
	m, err := tryOpen(dir, testSegment)
	if err != nil {
		return err
	}
	segments := make(map[uint64]uint64)
	key := uint64(0)
	for _, e := range m.contents.Entries {
		segments[e.Key] = e.Segment
		key = max(key, e.Key)
	}
	for {
		for range 1 + rand.IntN(4) {
			key++
			if segments[key], err = m.Append(key, value(key)); err != nil {
				return err
			}
		}
		if err := m.Sync(); err != nil {
			return err
		}
		fmt.Println("synced", key)
		if len(segments) > keep && rand.IntN(20) == 0 {
			old := slices.Sorted(maps.Keys(segments))[:len(segments)-keep]
			for _, key := range old {
				delete(segments, key)
			}
			fmt.Println("forgets below", old[len(old)-1]+1)
			if err := m.Forget(old); err != nil {
				return err
			}
			if _, err := m.Drop(slices.Min(slices.Collect(maps.Values(segments)))); err != nil {
				return err
			}
		}
	}
}

// A killed process loses nothing that it had synced, and leaves nothing that
// could not be opened.
func TestCrashKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	synced, below := uint64(0), uint64(1)
	for round := range 20 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDirEnv+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines, until := bufio.NewScanner(out), 1+rand.IntN(150)
		for n := 1; lines.Scan(); n++ {
			what, number, _ := cutLast(lines.Text())
			switch what {
			case "synced":
				synced = number
			case "forgets below":
				below = number
			default:
				t.Errorf("child: %s", lines.Text())
			}
			if n == until {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // it was killed
		m, err := tryOpen(dir, testSegment)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, d := range m.contents.Damage {
			if !d.Last {
				t.Errorf("round %d: damage %+v", round, d)
			}
		}
		found := m.keysOf(t)
		for key := below; key <= synced; key++ {
			if _, ok := found[key]; !ok {
				t.Errorf("round %d: entry %d was synced and is gone", round, key)
			}
		}
		// As an owner does: the first entry says what it made of all that.
		synced = below - 1
		for key := range found {
			synced = max(synced, key)
		}
		synced++
		appendKeys(t, m, synced, synced)
		mustSync(t, m)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			break
		}
	}
	if synced < 100 {
		t.Errorf("only %d entries were synced", synced)
	}
}

func cutLast(line string) (string, uint64, bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return line, 0, false
	}
	n, err := strconv.ParseUint(line[i+1:], 10, 64)
	return line[:i], n, err == nil
}

// What was appended is there after the death of the process, synced or not.
func TestCrashWithoutSync(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	for last := uint64(5); last <= 100; last += 5 {
		appendKeys(t, m, last-4, last)
		crashed := openDir(t, copyDir(t, dir), testSegment)
		crashed.wantNoDamage(t)
		crashed.wantKeys(t, 1, last)
		crashed.Close()
	}
}

// A crash at any moment of an opening leaves what the next one can open.
func TestCrashWhileOpening(t *testing.T) {
	full := usedStore(t, 60)
	names, err := list(full)
	if err != nil {
		t.Fatal(err)
	}
	next := names.data[len(names.data)-1] + 1
	for _, test := range []struct {
		name  string
		crash func(dir string) error
	}{
		{"the new segment is empty", func(dir string) error { return os.WriteFile(segmentFile(dir, next, dataSuffix), nil, 0o600) }},
		{"the new segment is sparse", func(dir string) error {
			return os.WriteFile(segmentFile(dir, next, dataSuffix), make([]byte, testSegment), 0o600)
		}},
		{"the new segment has a hint", func(dir string) error { return os.WriteFile(segmentFile(dir, next, hintSuffix), []byte("x"), 0o600) }},
		{"the store file is half written", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, storeName+tmpSuffix), []byte("x"), 0o600)
		}},
		{"the buckets are torn", func(dir string) error { return os.WriteFile(filepath.Join(dir, bucketName), []byte("x"), 0o600) }},
		{"the buckets are empty", func(dir string) error { return os.WriteFile(filepath.Join(dir, bucketName), nil, 0o600) }},
		{"hints are torn", func(dir string) error {
			return eachFile(dir, hintSuffix, func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{"manifests are torn", func(dir string) error {
			return eachFile(dir, sealSuffix, func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{"manifests and hints are zero", func(dir string) error {
			zero := func(b []byte) []byte { return make([]byte, len(b)) }
			if err := eachFile(dir, sealSuffix, zero); err != nil {
				return err
			}
			return eachFile(dir, hintSuffix, zero)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copyDir(t, full)
			if err := test.crash(dir); err != nil {
				t.Fatal(err)
			}
			m := openDir(t, dir, testSegment)
			m.wantNoDamage(t)
			m.wantKeys(t, 1, 60)
			appendKeys(t, m, 61, 80)
			m.Close()
			openDir(t, dir, testSegment).wantKeys(t, 1, 80)
			if half, err := filepath.Glob(filepath.Join(dir, "*"+tmpSuffix)); err != nil || len(half) > 0 {
				t.Errorf("left behind: %v, %v", half, err)
			}
		})
	}
}

// eachFile changes the files whose names end in suffix.
func eachFile(dir, suffix string, change func([]byte) []byte) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, suffix) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(b), 0o600)
	})
}

// A crash before the first entry of a run leaves an empty segment, whose number
// is not used again, and which is not missed.
func TestCrashBeforeTheFirstEntry(t *testing.T) {
	dir, last := t.TempDir(), uint64(0)
	for round := uint64(1); round <= 5; round++ {
		m := openDir(t, dir, testSegment)
		m.wantNoDamage(t)
		m.wantKeys(t, 1, round-1)
		dir = copyDir(t, dir)
		m.Close()

		m = openDir(t, dir, testSegment)
		segment := appendKeys(t, m, round, round)[round]
		if segment <= last+1 && round > 1 {
			t.Errorf("segment %d, the last one was %d, and one was empty", segment, last)
		}
		last = segment
		dir = copyDir(t, dir)
		m.Close()
	}
}

// A killed process may have left what it wrote to the operating system; it is
// synced with the first entry of the next.
func TestCrashFoundIsSynced(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	segments := appendKeys(t, m, 1, 60)
	crashed := copyDir(t, dir)
	m.Close()

	src, synced := testSource(crashed, testSegment), make(map[string]bool)
	src.disk.sync = func(f *os.File) error { synced[filepath.Base(f.Name())] = true; return nil }
	m, err := openSource(src)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	appendKeys(t, m, 61, 61)
	mustSync(t, m)
	for _, id := range segments {
		if !synced[fmt.Sprintf("%d%s", id, dataSuffix)] {
			t.Fatalf("segment %d was not synced, but %v", id, synced)
		}
	}
	clear(synced)
	mustSync(t, m)
	if len(synced) > 0 {
		t.Errorf("synced again: %v", synced)
	}
}

// A crash in the middle of a Drop leaves a truncated file, which is no damage.
func TestCrashWhileDropping(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	segments := appendKeys(t, m, 1, 60)
	mustSync(t, m)
	m.sealer.wait()
	crashed := copyDir(t, dir)
	m.Close()
	writeFile(t, segmentFile(crashed, 1, dataSuffix), nil)
	m = openDir(t, crashed, testSegment)
	m.wantNoDamage(t)
	for key, segment := range segments {
		if _, err := m.Load(key); (err == nil) != (segment > 1) {
			t.Errorf("load %d of segment %d: %v", key, segment, err)
		}
	}
	if _, err := os.Stat(segmentFile(crashed, 1, dataSuffix)); err == nil {
		t.Error("the file is still there")
	}
}

// recorder knows what is on the disk for sure: it stands between the wrapper
// and syncing.
type recorder struct {
	mu      sync.Mutex
	content map[string][]byte // by path
	named   map[string]bool
}

// newRecorder says that all below dir is on the disk.
func newRecorder(t testing.TB, dir string) *recorder {
	r := &recorder{content: make(map[string][]byte), named: make(map[string]bool)}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			r.named[path] = true
			r.content[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// forget gives back the memory of a recorder that some cleanup still knows: those of
// all histories together have more than a 32-bit process can have.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.content)
}

func (r *recorder) disk() disk {
	return disk{
		read: realDisk.read,
		sync: func(f *os.File) error {
			b, err := os.ReadFile(f.Name())
			if err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.content[f.Name()] = b
			return nil
		},
		syncNames: func(dir string) error {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, e := range entries {
				r.named[filepath.Join(dir, e.Name())] = true
			}
			return nil
		},
	}
}

// powerCut makes of a copy of dir what a power cut may leave: what was synced
// is there, of what was written since every sector is old, new or garbage, and
// new files may be missing. A manifest or hint, which is never synced, may be
// anything.
func (r *recorder) powerCut(t testing.TB, rnd *rand.Rand, dir string) string {
	t.Helper()
	cut := copyDir(t, dir)
	files, err := os.ReadDir(cut)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range files {
		path, before := filepath.Join(cut, f.Name()), filepath.Join(dir, f.Name())
		b := readFile(t, path)
		switch filepath.Ext(f.Name()) {
		case hintSuffix, sealSuffix:
			switch rnd.IntN(5) {
			case 0:
				os.Remove(path)
			case 1:
				writeFile(t, path, b[:rnd.IntN(len(b)+1)])
			case 2:
				writeFile(t, path, make([]byte, len(b)))
			}
		case dataSuffix:
			if !r.named[before] && rnd.IntN(3) == 0 {
				os.Remove(path)
				continue
			}
			tear(rnd, b, r.content[before])
			if r.content[before] == nil && rnd.IntN(3) == 0 {
				b = b[:rnd.IntN(len(b)+1)]
			}
			writeFile(t, path, b)
		}
	}
	return cut
}

// tear gives the sectors of b that differ from what was synced another content,
// some of them.
func tear(rnd *rand.Rand, b, synced []byte) {
	const sector = 512
	old := append(bytes.Clone(synced), make([]byte, len(b))...)[:len(b)]
	for at := 0; at < len(b); at += sector {
		end := min(at+sector, len(b))
		if bytes.Equal(old[at:end], b[at:end]) {
			continue
		}
		switch rnd.IntN(4) {
		case 0:
			copy(b[at:end], old[at:end])
		case 1:
			for i := at; i < end; i++ {
				if old[i] != b[i] { // what was synced is written again as it was
					b[i] = byte(rnd.Uint32())
				}
			}
		}
	}
}

// Whatever a power cut does to what was not synced: what was is there.
func TestCrashPowerCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	wanted := make(map[uint64]bool) // synced and not forgotten
	last, torn := uint64(0), 0
	for round := range 40 {
		src, r := testSource(dir, testSegment), newRecorder(t, dir)
		src.disk = r.disk()
		if _, err := src.Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
		m, err := src.Start(t.Context(), persistence.EncodeStoreRecord(testStore))
		if err != nil {
			t.Fatal(err)
		}
		var pending []uint64
		for range rnd.IntN(60) {
			switch rnd.IntN(10) {
			case 0, 1:
				mustSync(t, m)
				for _, key := range pending {
					wanted[key] = true
				}
				pending = nil
			case 2:
				if len(wanted) > 50 {
					keys := slices.Sorted(maps.Keys(wanted))[:len(wanted)-50]
					if err := m.Forget(keys); err != nil {
						t.Fatal(err)
					}
					for _, key := range keys {
						delete(wanted, key)
					}
				}
			default:
				last++
				appendKeys(t, m, last, last)
				pending = append(pending, last)
			}
		}
		cut := r.powerCut(t, rnd, dir)
		m.Close()
		os.RemoveAll(dir)
		dir = cut
		o := openDir(t, dir, testSegment)
		if len(o.contents.Damage) > 0 {
			torn++
		}
		found := o.keysOf(t)
		for key := range wanted {
			if _, ok := found[key]; !ok {
				t.Errorf("round %d: entry %d was synced and is gone", round, key)
			}
		}
		for key := range found { // of the others some may be there
			wanted[key] = true
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	if torn < 5 || len(wanted) < 50 {
		t.Errorf("the test proves little: %d of its rounds had damage, %d entries", torn, len(wanted))
	}
}
