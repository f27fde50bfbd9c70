//go:build !js

package nutsdb

import (
	"bytes"
	"testing"
)

// A database holds no memory for commits but while it writes one, and what it
// is lent serves the next one.
func TestDatabasesShareTheBufferForCommits(t *testing.T) {
	m, err := openSource(testSource(t.TempDir(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	buffer := m.db.buffer.to
	if buffer == nil {
		t.Fatal("NutsDB's own buffer was not found: is this another version of it?")
	}
	for key, size := range map[uint64]int{1: 10, 2: 100 << 10, 3: commitBuffer - 200, 4: commitBuffer + 1, 5: 1} {
		value := bytes.Repeat([]byte{byte(key)}, size)
		if err := m.db.put(key, value); err != nil {
			t.Fatal(err)
		}
		if n := buffer.Cap(); n > 1<<10 {
			t.Errorf("the database holds %d bytes after a value of %d", n, size)
		}
		if got, err := m.db.get(key); err != nil || !bytes.Equal(got, value) {
			t.Errorf("a value of %d bytes came back as %d bytes, %v", size, len(got), err)
		}
	}
}

func TestRoomForCommits(t *testing.T) {
	tests := []struct{ size, room int }{
		{1, 4 << 10}, {4 << 10, 4 << 10}, {4<<10 + 1, 8 << 10}, {200 << 10, 256 << 10}, {commitBuffer - 1, commitBuffer},
	}
	for _, test := range tests {
		if got := roomFor(test.size); got != test.room {
			t.Errorf("room for %d bytes: %d, want %d", test.size, got, test.room)
		}
	}
}
