//go:build !js

package nutsdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
)

// testSegment is the size of a segment in most tests.
const testSegment = 64 << 10

var testStore = persistence.StoreID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// entryValue is the value of an entry: its header and a body that depends on
// the key, so that a wrong value is noticed.
func entryValue(store persistence.StoreID, key uint64, bodySize int) []byte {
	b := make([]byte, persistence.HeaderSize+bodySize)
	copy(b, persistence.Magic)
	b[4], b[6] = persistence.Major, byte(persistence.KindBatch)
	copy(b[8:], store[:])
	binary.LittleEndian.PutUint64(b[24:], key)
	binary.LittleEndian.PutUint32(b[52:], uint32(bodySize))
	body := b[persistence.HeaderSize:]
	rnd := rand.NewChaCha8([32]byte(bytes.Repeat(binary.LittleEndian.AppendUint64(nil, key), 4)))
	_, _ = rnd.Read(body)
	binary.LittleEndian.PutUint32(b[56:], persistence.Checksum(body))
	binary.LittleEndian.PutUint32(b[60:], persistence.Checksum(b[:60]))
	return b
}

// bodySize gives entries sizes that differ.
func bodySize(key uint64) int { return int(key*key*131) % 6000 }

func value(key uint64) []byte { return entryValue(testStore, key, bodySize(key)) }

// opened is a queue's directory, opened.
type opened struct {
	*medium
	contents journal.Contents
}

func openDir(t testing.TB, dir string, segmentSize int64) opened {
	t.Helper()
	o, err := tryOpen(dir, segmentSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func tryOpen(dir string, segmentSize int64) (opened, error) {
	return openSource(testSource(dir, segmentSize))
}

func openSource(src *source) (opened, error) {
	c, err := src.Inspect(context.Background())
	if err != nil {
		return opened{}, errors.Join(err, src.Release())
	}
	m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
	if err != nil {
		return opened{}, errors.Join(err, src.Release())
	}
	return opened{m.(*medium), c}, nil
}

func testSource(dir string, segmentSize int64) *source {
	o := Options{SegmentSize: segmentSize}
	if err := o.setDefaultsAndValidate(); err != nil {
		panic(err)
	}
	src := newSource(dir, o)
	src.disk = disk{func(*os.File) error { return nil }, func(string) error { return nil }, realDisk.read} // for speed
	return src
}

// appendKeys appends entries for the keys from first to last and returns the
// segment of each.
func appendKeys(t testing.TB, m journal.Medium, first, last uint64) map[uint64]uint64 {
	t.Helper()
	segments := make(map[uint64]uint64)
	for key := first; key <= last; key++ {
		segment, err := m.Append(key, value(key))
		if err != nil {
			t.Fatalf("append %d: %v", key, err)
		}
		segments[key] = segment
	}
	return segments
}

func mustSync(t testing.TB, m journal.Medium) {
	t.Helper()
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
}

// keysOf returns the keys of the entries that were found, and checks that they
// can be loaded and are what was appended.
func (o opened) keysOf(t testing.TB) map[uint64]uint64 {
	t.Helper()
	found := make(map[uint64]uint64)
	for _, e := range o.contents.Entries {
		if _, twice := found[e.Key]; twice {
			t.Errorf("entry %d was reported twice", e.Key)
		}
		found[e.Key] = e.Segment
		want := value(e.Key)
		if e.Size != len(want) || !bytes.Equal(e.Head, want[:persistence.HeaderSize]) {
			t.Errorf("entry %d was reported with size %d, head %x", e.Key, e.Size, e.Head)
		}
		got, err := o.Load(e.Key)
		if err != nil {
			t.Errorf("load %d: %v", e.Key, err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("load %d: wrong value", e.Key)
		}
	}
	return found
}

// wantKeys checks that exactly the keys from first to last were found.
func (o opened) wantKeys(t testing.TB, first, last uint64) {
	t.Helper()
	found := o.keysOf(t)
	for key := first; key <= last; key++ {
		if _, ok := found[key]; !ok {
			t.Errorf("entry %d is missing", key)
		}
		delete(found, key)
	}
	for key := range found {
		t.Errorf("entry %d was found, which should not be there", key)
	}
}

func (o opened) wantNoDamage(t testing.TB) {
	t.Helper()
	if len(o.contents.Damage) > 0 {
		t.Errorf("damage: %+v", o.contents.Damage)
	}
}

// copyDir copies a queue's directory as a crash would leave it; holes stay
// holes.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // the quarantine
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return to
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	b, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); ; {
		n, err := in.ReadAt(b, off)
		if n > 0 && !bytes.Equal(b[:n], zero[:n]) {
			if _, err := out.WriteAt(b[:n], off); err != nil {
				return err
			}
		}
		off += int64(n)
		if err == io.EOF {
			return out.Truncate(info.Size())
		} else if err != nil {
			return err
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
