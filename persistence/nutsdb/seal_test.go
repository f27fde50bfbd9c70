//go:build !js

package nutsdb

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
)

func sampleSeal() seal {
	return seal{id: 7, follows: 5, length: testSegment, content: content{
		entries: []stored{
			{key: 1, offset: 0, size: 200, head: value(1)[:persistence.HeaderSize]},
			{key: 1, offset: 240, delete: true},
			{key: 2, offset: 270, size: 3, head: []byte("abc")},
			{key: 3, offset: 320, size: 0, head: []byte{}},
		},
		damage: []extent{{400, 100}, {testSegment - 10, 10}},
		used:   500,
	}}
}

func TestSealKeepsAll(t *testing.T) {
	want := sampleSeal()
	got, err := decodeSeal(want.encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestSealRefusesEveryFlippedBit(t *testing.T) {
	b := sampleSeal().encode()
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, err := decodeSeal(b); err == nil {
			t.Fatalf("bit %d was flipped, and it decodes", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for n := range b {
		if _, err := decodeSeal(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes decode", n, len(b))
		}
	}
}

// Opening believes a manifest only as far as its data file goes.
func TestSealDoesNotFit(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(b []byte, last extent) []byte
	}{
		{"the last entry is gone", func(b []byte, last extent) []byte { clear(b[last.offset:last.end()]); return b }},
		{"the file is longer", func(b []byte, _ extent) []byte { return append(b, 1) }},
		{"the file is shorter", func(b []byte, last extent) []byte { return b[:last.end()] }},
		{"it is another file", func(b []byte, _ extent) []byte { copy(b[100:], b); return b }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			m := openDir(t, dir, testSegment)
			segments := appendKeys(t, m, 1, 60)
			m.Close()
			var last place
			for _, p := range places(t, dir) {
				if p.segment == segments[30] {
					last = p
				}
			}
			path := segmentFile(dir, last.segment, dataSuffix)
			writeFile(t, path, test.change(readFile(t, path), last.extent))
			m = openDir(t, dir, testSegment)
			if len(m.contents.Damage) == 0 && test.name != "the last entry is gone" {
				t.Error("no damage was reported")
			}
			for _, e := range m.contents.Entries {
				if _, err := m.Load(e.Key); err != nil {
					t.Errorf("an entry was reported that is not there: %v", err)
				}
			}
		})
	}
}

func FuzzSeal(f *testing.F) {
	f.Add(sampleSeal().encode())
	f.Add(seal{id: 1, length: SegmentSize}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sign(b)} {
			s, err := decodeSeal(b)
			if err != nil {
				continue
			}
			again, err := decodeSeal(s.encode())
			if err != nil || !reflect.DeepEqual(s, again) {
				t.Fatalf("%+v became %+v: %v", s, again, err)
			}
			for _, e := range s.entries {
				if e.offset < 0 || e.size < 0 || e.offset+int64(e.size) > s.used {
					t.Fatalf("entry %+v of %d bytes", e, s.used)
				}
			}
		}
	})
}

// sign gives b the checksum that makes a decoder look at the rest.
func sign(b []byte) []byte {
	if len(b) < 4 {
		return b
	}
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[len(b)-4:], persistence.Checksum(b[:len(b)-4]))
	return b
}

func FuzzStoreFile(f *testing.F) {
	f.Add(storeFile{SegmentSize, []byte("record")}.encode())
	f.Add(storeFile{segmentSize: minSegmentSize}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sign(b)} {
			s, err := decodeStoreFile(b)
			if err != nil {
				continue
			}
			if again, err := decodeStoreFile(s.encode()); err != nil || again.segmentSize != s.segmentSize || !bytes.Equal(again.record, s.record) {
				t.Fatalf("%+v became %+v: %v", s, again, err)
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	m := openDir(f, dir, minSegmentSize)
	for key := uint64(1); key <= 4; key++ {
		if _, err := m.Append(key, entryValue(testStore, key, 40)); err != nil {
			f.Fatal(err)
		}
	}
	if err := m.db.delete(2); err != nil {
		f.Fatal(err)
	}
	used := m.db.used()
	m.Close()
	b, err := os.ReadFile(segmentFile(dir, 1, dataSuffix))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:used], uint16(0), uint16(0))
	f.Add(b[:used+100], uint16(300), uint16(20))
	f.Add(append([]byte("garbage"), b[:used]...), uint16(9), uint16(4))
	f.Fuzz(func(t *testing.T, b []byte, bad, badBytes uint16) {
		var w window
		w.reset(failingReader{b, extent{int64(bad), int64(badBytes)}}, int64(len(b)))
		c := scan(&w, &testStore)
		if c.used < 0 || c.used > int64(len(b)) {
			t.Fatalf("%d bytes used of %d", c.used, len(b))
		}
		end := int64(0)
		for _, e := range c.entries {
			h, ok := parseEntryHeader(b[e.offset:])
			if !ok || e.offset < end || e.offset+h.total() > c.used {
				t.Fatalf("entry %+v", e)
			}
			end = e.offset + h.total()
			if got, ok := parseEntry(b[e.offset:end], h); !ok || got.key != e.key || got.size != e.size || !bytes.Equal(got.head, e.head) {
				t.Fatalf("entry %+v, is %+v", e, got)
			}
		}
		for _, d := range c.damage {
			if d.offset < 0 || d.bytes <= 0 || d.end() > int64(len(b)) {
				t.Fatalf("damage %+v", d)
			}
			for _, e := range c.entries {
				if badBytes == 0 && e.offset >= d.offset && e.offset < d.end() {
					t.Fatalf("entry %+v in damage %+v", e, d)
				}
			}
		}
	})
}
