//go:build !js

package nutsdb

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/storetest"
)

// recorded is a store whose disk is recorded.
type recorded struct {
	*Store
	r *recorder
}

func newRecorded(t testing.TB, dir string) recorded {
	s, err := Open(dir, Options{SegmentSize: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := newRecorder(t, dir)
	s.fullAt, s.disk = 16<<10, r.disk()
	return recorded{s, r}
}

// copyStore copies the directories of all queues, each by the given function.
func (s recorded) copyStore(t testing.TB, copyQueue func(dir string) string) recorded {
	t.Helper()
	names, err := s.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	for _, name := range names {
		connection, queue := filepath.Split(name)
		if err := os.MkdirAll(filepath.Join(to, connection), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(copyQueue(filepath.Join(s.dir, name)), filepath.Join(to, connection, queue)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close() // it was left without notice; this only gives back what it holds
	s.r.forget()
	os.RemoveAll(s.dir)
	return newRecorded(t, to)
}

func TestSuite(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t testing.TB) persistence.Store { return newRecorded(t, t.TempDir()) },
		Kill: func(t testing.TB, s persistence.Store) persistence.Store {
			return s.(recorded).copyStore(t, func(dir string) string { return copyDir(t, dir) })
		},
		PowerCut: func(t testing.TB, s persistence.Store, r *rand.Rand) persistence.Store {
			return s.(recorded).copyStore(t, func(dir string) string { return s.(recorded).r.powerCut(t, r, dir) })
		},
		Histories:   3,
		SegmentSize: 2 << 20,
	})
}

// BenchmarkQueue is on a disk as it is: commits wait for it.
func BenchmarkQueue(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) persistence.Store {
		s, err := Open(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
