//go:build !js

package nutsdb

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// place says which bytes of which segment are an entry.
type place struct {
	key, segment uint64
	extent
}

// places finds the entries in an undamaged directory.
func places(t testing.TB, dir string) []place {
	t.Helper()
	names, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []place
	for _, id := range names.data {
		b := readFile(t, segmentFile(dir, id, dataSuffix))
		var w window
		w.reset(bytes.NewReader(b), int64(len(b)))
		c := scan(&w, nil)
		if len(c.damage) > 0 {
			t.Fatalf("segment %d: damage %v", id, c.damage)
		}
		for i, e := range c.entries {
			end := c.used
			if i+1 < len(c.entries) {
				end = c.entries[i+1].offset
			}
			found = append(found, place{e.key, id, extent{e.offset, end - e.offset}})
		}
	}
	return found
}

// usedStore makes a directory as a crash would leave it, with segments of
// several runs, sealed and not.
func usedStore(t testing.TB, entries uint64) string {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	appendKeys(t, m, 1, entries/3)
	m.Close()
	m = openDir(t, dir, testSegment)
	appendKeys(t, m, entries/3+1, entries/3+2)
	m.Close()
	m = openDir(t, dir, testSegment)
	appendKeys(t, m, entries/3+3, entries*2/3)
	mustSync(t, m)
	m.sealer.wait()
	appendKeys(t, m, entries*2/3+1, entries)
	crashed := copyDir(t, dir)
	m.Close()
	return crashed
}

// Opening always succeeds, only the entries that were hit are gone, and no
// wrong value is ever returned, whatever happened to one file.
func TestDamageCostsOnlyWhatWasHit(t *testing.T) {
	const entries = 120
	intact := usedStore(t, entries)
	all := places(t, intact)
	if len(all) != entries {
		t.Fatalf("%d entries", len(all))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		dir := copyDir(t, intact)
		what, hit := damage(t, rnd, dir, all)
		m, err := tryOpen(dir, testSegment)
		if err != nil {
			t.Fatalf("round %d, %s: open: %v", round, what, err)
		}
		readable := checkDamaged(t, m, hit, entries, what)
		if _, err := m.Append(entries+1, value(entries+1)); err != nil {
			t.Fatalf("round %d, %s: append: %v", round, what, err)
		}
		mustSync(t, m)
		if err := m.Close(); err != nil {
			t.Fatalf("round %d, %s: close: %v", round, what, err)
		}

		// What was reported once, and answered by a synced entry, is not news.
		if m, err = tryOpen(dir, testSegment); err != nil {
			t.Fatalf("round %d, %s: open again: %v", round, what, err)
		}
		if len(m.contents.Damage) > 0 {
			t.Errorf("round %d, %s: reported again: %+v", round, what, m.contents.Damage)
		}
		if again := checkDamaged(t, m, hit, entries+1, what); again != readable+1 {
			t.Errorf("round %d, %s: %d entries were readable, now %d", round, what, readable, again)
		}
		m.Close()
		os.RemoveAll(dir)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// checkDamaged checks that all is there that was not hit, and returns how many
// entries are readable.
func checkDamaged(t *testing.T, m opened, hit map[uint64]bool, last uint64, what string) int {
	t.Helper()
	readable := make(map[uint64]bool)
	for _, e := range m.contents.Entries {
		got, err := m.Load(e.Key)
		switch {
		case err == nil && !bytes.Equal(got, value(e.Key)):
			t.Errorf("%s: entry %d has a wrong value", what, e.Key)
		case err == nil:
			readable[e.Key] = true
		case !errors.Is(err, types.ErrCorrupt):
			t.Errorf("%s: load %d: %v", what, e.Key, err)
		case !hit[e.Key]:
			t.Errorf("%s: entry %d was not hit: %v", what, e.Key, err)
		}
	}
	for key := uint64(1); key <= last; key++ {
		if !readable[key] && !hit[key] {
			t.Errorf("%s: entry %d is gone, and was not hit", what, key)
		}
	}
	return len(readable)
}

// damage does something bad to one file and says what, and to which entries.
func damage(t *testing.T, rnd *rand.Rand, dir string, all []place) (what string, hit map[uint64]bool) {
	t.Helper()
	hit = make(map[uint64]bool)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(e os.DirEntry) bool {
		return rnd.IntN(3) > 0 && !strings.HasSuffix(e.Name(), dataSuffix) // mostly data files
	})
	name := files[rnd.IntN(len(files))].Name()
	path := filepath.Join(dir, name)
	b := readFile(t, path)
	hits := func(from, to int64) {
		for _, p := range all {
			if name == fmt.Sprintf("%d%s", p.segment, dataSuffix) && p.offset < to && p.end() > from {
				hit[p.key] = true
			}
		}
	}
	at := 0
	if len(b) > 0 {
		at = rnd.IntN(len(b))
	}
	switch kind := rnd.IntN(7); {
	case kind == 0 && len(b) > 0:
		b[at] ^= 1 << rnd.IntN(8)
		hits(int64(at), int64(at)+1)
		what = fmt.Sprintf("flip a bit of %s at %d", name, at)
	case kind == 1:
		at &^= 4095
		end := min(len(b), at+4096<<rnd.IntN(3))
		clear(b[at:end])
		hits(int64(at), int64(end))
		what = fmt.Sprintf("zero %s from %d to %d", name, at, end)
	case kind == 2:
		b = b[:at]
		hits(int64(at), 1<<40)
		what = fmt.Sprintf("truncate %s to %d", name, at)
	case kind == 3:
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		hits(0, 1<<40)
		return "remove " + name, hit
	case kind == 4:
		garbage := make([]byte, 1+rnd.IntN(9000))
		for i := range garbage {
			garbage[i] = byte(rnd.Uint32())
		}
		b = append(b, garbage...)
		what = fmt.Sprintf("append %d bytes to %s", len(garbage), name)
	case kind == 5:
		end := min(len(b), at+1+rnd.IntN(9000))
		for i := at; i < end; i++ {
			b[i] = byte(rnd.Uint32())
		}
		hits(int64(at), int64(end))
		what = fmt.Sprintf("overwrite %s from %d to %d", name, at, end)
	default:
		// A part of the file is moved, with good entries in it.
		if len(b) > 0 {
			from := rnd.IntN(len(b))
			n := copy(b[at:], b[from:min(len(b), from+rnd.IntN(20000)+1)])
			hits(int64(at), int64(at+n))
			what = fmt.Sprintf("copy %d bytes of %s from %d to %d", n, name, from, at)
		}
	}
	writeFile(t, path, b)
	return what, hit
}

// A last write that the crash cut short costs that entry and nothing else.
func TestDamageTornTail(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, minSegmentSize)
	for key := uint64(1); key <= 4; key++ {
		if _, err := m.Append(key, entryValue(testStore, key, 50)); err != nil {
			t.Fatal(err)
		}
	}
	crashed := copyDir(t, dir)
	m.Close()
	all := places(t, crashed)
	last := all[len(all)-1]
	path := segmentFile(crashed, last.segment, dataSuffix)
	whole := readFile(t, path)
	for _, tail := range []struct {
		name string
		tear func(b []byte, at int) []byte
	}{
		{"zeros", func(b []byte, at int) []byte { clear(b[at:]); return b }},
		{"short", func(b []byte, at int) []byte { return b[:at] }},
		{"garbage", func(b []byte, at int) []byte {
			for i := at; i < int(last.end()); i++ {
				b[i] ^= 0x55
			}
			return b
		}},
	} {
		t.Run(tail.name, func(t *testing.T) {
			for at := last.offset; at < last.end(); at++ {
				dir := copyDir(t, crashed)
				writeFile(t, segmentFile(dir, last.segment, dataSuffix), tail.tear(bytes.Clone(whole), int(at)))
				m, err := tryOpen(dir, 0)
				if err != nil {
					t.Fatalf("torn at %d: %v", at, err)
				}
				if n := len(m.contents.Entries); n != 3 {
					t.Errorf("torn at %d: %d entries", at, n)
				}
				for _, e := range m.contents.Entries {
					if got, err := m.Load(e.Key); err != nil || !bytes.Equal(got, entryValue(testStore, e.Key, 50)) {
						t.Errorf("torn at %d: load %d: %v", at, e.Key, err)
					}
				}
				switch d := m.contents.Damage; {
				case tail.name == "short": // no death of a process makes a file shorter
					if len(d) == 0 || d[0].Last || d[0].Offset != last.offset || d[len(d)-1].Offset+d[len(d)-1].Bytes != minSegmentSize {
						t.Errorf("cut off at %d: %+v", at, d)
					}
				case at == last.offset && tail.name != "garbage":
					if len(d) != 0 {
						t.Errorf("nothing was written: %+v", d)
					}
				case len(d) != 1 || d[0].Last == (tail.name == "garbage") || d[0].Offset != last.offset: // garbage: it was complete
					t.Errorf("torn at %d: %+v", at, d)
				}
				m.Close()
				os.RemoveAll(dir)
			}
		})
	}
}

// A message may hold bytes that look like an entry of a store, down to every
// checksum. It is not taken for one when what is around it is damaged, since
// its maker does not know the store id.
func TestDamageForgedEntry(t *testing.T) {
	var stranger persistence.StoreID
	copy(stranger[:], "somebody else's!")
	other := t.TempDir()
	m := openDir(t, other, testSegment)
	for key := uint64(2); key <= 9; key++ {
		if _, err := m.Append(key, entryValue(stranger, key, 500)); err != nil {
			t.Fatal(err)
		}
	}
	forged := readFile(t, segmentFile(other, 1, dataSuffix))[:m.used]
	m.Close()

	dir := t.TempDir()
	m = openDir(t, dir, testSegment)
	appendKeys(t, m, 1, 1)
	if _, err := m.Append(2, append(value(2)[:persistence.HeaderSize], forged...)); err != nil {
		t.Fatal(err)
	}
	appendKeys(t, m, 3, 5)
	crashed := copyDir(t, dir)
	m.Close()
	hit := places(t, crashed)[1]
	path := segmentFile(crashed, hit.segment, dataSuffix)
	b := readFile(t, path)
	b[hit.offset+5] ^= 0xff
	writeFile(t, path, b)

	for _, without := range []string{"", storeName} {
		t.Run("without "+without, func(t *testing.T) {
			dir := copyDir(t, crashed)
			if without != "" {
				if err := os.Remove(filepath.Join(dir, without)); err != nil {
					t.Fatal(err)
				}
			}
			m := openDir(t, dir, testSegment)
			found := m.keysOf(t)
			if len(found) != 4 || found[1] == 0 || found[3] == 0 || found[4] == 0 || found[5] == 0 {
				t.Errorf("found %v", found)
			}
			if d := m.contents.Damage; len(d) != 1 || d[0].Offset != hit.offset || d[0].Bytes != hit.bytes || d[0].Last {
				t.Errorf("damage %+v, want %+v", d, hit)
			}
		})
	}
}

// What Inspect found is found again until the owner has made an entry durable,
// which is how it says that it knows.
func TestDamageIsReportedUntilItIsKnown(t *testing.T) {
	dir := usedStore(t, 90)
	p := places(t, dir)[80]
	if err := os.Remove(segmentFile(dir, p.segment, sealSuffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	b := readFile(t, segmentFile(dir, p.segment, dataSuffix))
	b[p.offset+40] ^= 1
	writeFile(t, segmentFile(dir, p.segment, dataSuffix), b)
	missing := p.segment - 2
	if err := os.Remove(segmentFile(dir, missing, dataSuffix)); err != nil {
		t.Fatal(err)
	}

	seen := func(m opened) (damaged, gap bool) {
		for _, d := range m.contents.Damage {
			damaged = damaged || d.Segment == p.segment && d.Offset == p.offset && d.Bytes == p.bytes
			gap = gap || d.Segment == missing
		}
		return damaged, gap
	}
	for _, step := range []struct {
		name         string
		append, sync bool
		want         bool
	}{
		{"first", false, true, true},
		{"nothing was appended", true, false, true},
		{"nothing was synced", true, true, true},
		{"it is known", false, false, false},
	} {
		m := openDir(t, dir, testSegment)
		if damaged, gap := seen(m); damaged != step.want || gap != step.want {
			t.Errorf("%s: damage %v, gap %v, want both %v", step.name, damaged, gap, step.want)
		}
		if step.append {
			key := uint64(1000 + len(m.contents.Entries))
			if _, err := m.Append(key, value(key)); err != nil {
				t.Fatal(err)
			}
		}
		if step.sync {
			mustSync(t, m)
			m.sealer.wait()
		}
		crashed := copyDir(t, dir)
		m.Close()
		dir = crashed
	}
}

// The last segments are missing, but not their manifests.
func TestDamageLastSegmentsAreMissing(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	segments := appendKeys(t, m, 1, 90)
	last := segments[90]
	m.Close()
	for _, id := range []uint64{last - 1, last} {
		if err := os.Remove(segmentFile(dir, id, dataSuffix)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{1, 0} {
		m = openDir(t, dir, testSegment)
		if d := m.contents.Damage; len(d) != want || want == 1 && (d[0].Segment != last-1 || d[0].Bytes != 2*testSegment) {
			t.Errorf("damage %+v", d)
		}
		segment, err := m.Append(91, value(91))
		if err != nil || segment <= last {
			t.Errorf("appended to segment %d: %v", segment, err)
		}
		m.Close()
	}
}

// The last segment that holds something is missing, without a trace but the one that
// was made ready behind it.
func TestDamageLastSegmentIsMissingBeforeAnEmptyOne(t *testing.T) {
	dir := usedStore(t, 90)
	all := places(t, dir)
	last := all[len(all)-1].segment
	if err := os.Remove(segmentFile(dir, last, dataSuffix)); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(segmentFile(dir, last, sealSuffix)) // if it has one
	if err := os.WriteFile(segmentFile(dir, last+1, dataSuffix), make([]byte, testSegment), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		m := openDir(t, dir, testSegment)
		if d := m.contents.Damage; len(d) != want || want == 1 && (d[0].Segment != last || d[0].Bytes != testSegment) {
			t.Errorf("damage %+v, want %d, segment %d", d, want, last)
		}
		if segment, err := m.Append(91, value(91)); err != nil || segment <= last+1 {
			t.Errorf("appended to segment %d: %v", segment, err)
		}
		m.Close()
	}
}

// failingReader fails to read some bytes, as a disk with bad sectors.
type failingReader struct {
	b   []byte
	bad extent
}

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off < r.bad.end() && off+int64(len(p)) > r.bad.offset {
		return 0, errors.New("input/output error")
	}
	return bytes.NewReader(r.b).ReadAt(p, off)
}

func TestDamageUnreadableBlocks(t *testing.T) {
	dir := usedStore(t, 60)
	all := places(t, dir)
	segment := all[0].segment
	all = slices.DeleteFunc(all, func(p place) bool { return p.segment != segment })
	b := readFile(t, segmentFile(dir, segment, dataSuffix))
	for at := int64(0); at < testSegment; at += 4096 {
		bad := extent{at, 4096}
		var w window
		w.reset(failingReader{b, bad}, int64(len(b)))
		c := scan(&w, &testStore)
		readable := make(map[uint64]bool)
		for _, e := range c.entries {
			readable[e.key] = true
		}
		for _, p := range all {
			if hit := p.offset < bad.end() && p.end() > bad.offset; hit == readable[p.key] {
				t.Errorf("bad block at %d: entry %d, hit %v, readable %v", at, p.key, hit, readable[p.key])
			}
		}
		if len(c.damage) == 0 {
			t.Errorf("bad block at %d: no damage", at)
		}
	}
}

func TestLastOfEach(t *testing.T) {
	got := lastOfEach([]journal.Entry{{Key: 1, Segment: 1}, {Key: 2, Segment: 1}, {Key: 1, Segment: 2}})
	if len(got) != 2 || got[0].Key != 2 || got[1].Segment != 2 {
		t.Errorf("got %+v", got)
	}
}
