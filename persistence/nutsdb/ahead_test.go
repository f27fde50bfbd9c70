//go:build !js

package nutsdb

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Zeros are written behind what is about to be, up to where there is room, and nowhere
// else.
func TestAhead(t *testing.T) {
	const size = 1 << 20
	for _, test := range []struct {
		name         string
		zeroed       int64
		n, end, room int64
		from, upTo   int64 // what is zeros then
		then         int64 // zeroed
	}{
		{"the first entry", 0, 100, 100, size, 100, 100 + leastAhead, 100 + leastAhead},
		{"within the zeros", 5000, 100, 5000, size, 0, 0, 5000},
		{"as much as there is", 50_000, 100, 50_001, size, 50_001, 100_002, 100_002},
		{"never more than so much", 600_000, 100, 600_100, size, 600_100, 600_100 + mostAhead, 600_100 + mostAhead},
		{"up to the end of the room", 5000, 100, 5050, 6000, 5050, 6000, 6000},
		{"no room", 5000, 100, 6000, 6000, 0, 0, 6000},
		{"a large entry", 5000, largestAhead + 1, 50_000, size, 0, 0, 5000},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			before := bytes.Repeat([]byte{0xff}, size)
			if err := os.WriteFile(path, before, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			a := ahead{zeroed: max(test.zeroed, 1)}
			a.before(f, test.n, test.end, test.room)
			clear(before[test.from:test.upTo])
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(after, before) {
				t.Errorf("other bytes than %d to %d are zeros", test.from, test.upTo)
			}
			if a.zeroed != test.then {
				t.Errorf("zeroed up to %d, want %d", a.zeroed, test.then)
			}
		})
	}
}

// A segment is written ahead of from its beginning on, and each one anew.
func TestAheadOfEachSegment(t *testing.T) {
	s := testSource(t.TempDir(), 0)
	s.segmentSize, s.fullAt = 64<<10, 64<<10
	m, err := openSource(s)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.space.ahead.useless = !inPlace(m.active.files[0]); m.space.ahead.useless {
		t.Logf("this file system writes nothing in its place")
	}
	turns := 0
	for key := uint64(1); key < 200; key++ {
		was := m.active.id
		if _, err := m.Append(key, entryValue(testStore, key, 900)); err != nil {
			t.Fatal(err)
		}
		if m.active.id != was {
			turns++
			continue // the first of a segment is written before there is one to be ahead of
		}
		if a := m.space.ahead; !a.useless && a.zeroed < m.used {
			t.Fatalf("entry %d ends at %d, zeros at %d", key, m.used, a.zeroed)
		}
	}
	if turns < 2 {
		t.Errorf("%d segments were begun", turns)
	}
}
