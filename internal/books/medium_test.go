package books

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
)

const queueName = "cloud/outgoing"

// medium is where a queue is stored. No two of its methods are called at once.
type medium interface {
	open(context.Context) (persistence.Queue, error)

	// crash leaves what the death of the process does or, with r, a power cut.
	crash(r *rand.Rand) error

	// damage is for a queue that is not open. It says what it did.
	damage(r *rand.Rand) (string, error)

	close()
}

// inMemory is a memory store, which can lose its power.
type inMemory struct{ store *memory.Store }

func newInMemory(r *rand.Rand, lazy bool) *inMemory {
	return &inMemory{memory.New(memory.Options{SegmentSize: 1 << (12 + r.IntN(3)), Journal: journal.Options{Lazy: lazy}})}
}

func (m *inMemory) open(ctx context.Context) (persistence.Queue, error) {
	return m.store.Open(ctx, queueName)
}

func (m *inMemory) crash(r *rand.Rand) error {
	m.store = m.store.Crash(r).(*memory.Store)
	return nil
}

func (m *inMemory) damage(r *rand.Rand) (string, error) {
	t := m.store.Tamper(queueName)
	if t == nil {
		return "", errors.New("the queue is open")
	}
	entries, segments := t.Entries(), t.Segments()
	i := r.IntN(len(entries))
	if r.IntN(3) == 0 { // what was written last is of more interest
		i = len(entries) - 1 - r.IntN(min(4, len(entries)))
	}
	segment, bit := segments[r.IntN(len(segments))], r.IntN(8*len(entries[i].Value))
	what := []string{"a bit that is found on opening", "a bit that is found on reading", "a bit", "a lost entry", "a lost segment", "a cut segment"}[r.IntN(6)]
	switch what {
	case "a bit that is found on opening":
		t.FlipSeen(i, bit)
	case "a bit that is found on reading":
		t.FlipHidden(i, bit)
	case "a bit":
		t.FlipSilent(i, bit)
	case "a lost entry":
		t.Lose(i)
	case "a lost segment":
		t.LoseSegment(segment)
	case "a cut segment":
		t.CutSegment(segment, r.IntN(4))
	}
	return fmt.Sprintf("%s, %d of %d, segment %d", what, i, len(entries), segment), nil
}

func (m *inMemory) close() { m.store.Close() }

// onDisk is a store in the files of a directory. A crash is a copy of them.
type onDisk struct {
	t     testing.TB
	o     nutsdb.Options
	dir   string
	store *nutsdb.Store
	dead  []*nutsdb.Store // their files are not looked at any more
}

func newOnDisk(t testing.TB, r *rand.Rand, lazy bool) *onDisk {
	d := &onDisk{t: t, dir: t.TempDir(), o: nutsdb.Options{
		SegmentSize: int64(8<<10) << r.IntN(3), Lazy: func(string) bool { return lazy },
	}}
	d.start()
	return d
}

func (d *onDisk) start() {
	var err error
	if d.store, err = nutsdb.Open(d.dir, d.o); err != nil {
		d.t.Error(err)
	}
}

func (d *onDisk) open(ctx context.Context) (persistence.Queue, error) {
	return d.store.Open(ctx, queueName)
}

func (d *onDisk) crash(*rand.Rand) error {
	after := d.t.TempDir()
	if err := os.CopyFS(after, vanishing{os.DirFS(d.dir)}); err != nil {
		return err
	}
	d.dead = append(d.dead, d.store)
	d.dir = after
	d.start()
	return nil
}

// vanishing is a file system from which files may go while it is copied: those that
// are written beside, and then renamed.
type vanishing struct{ fs.FS }

func (v vanishing) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(v.FS, name)
	kept := list[:0]
	for _, e := range list {
		if _, gone := e.Info(); gone == nil {
			kept = append(kept, e)
		}
	}
	return kept, err
}

func (d *onDisk) damage(r *rand.Rand) (string, error) {
	files, err := filepath.Glob(filepath.Join(d.dir, queueName, "*.dat"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no files: %w", err)
	}
	name := files[r.IntN(len(files))]
	if r.IntN(3) == 0 {
		name = files[len(files)-1]
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	used := len(strings.TrimRight(string(b), "\x00")) // the rest is allocated, and empty
	at := r.IntN(used + 1)
	what := []string{"a bit", "a zeroed page", "a cut file", "a lost file"}[r.IntN(4)]
	switch what {
	case "a bit":
		if len(b) == 0 {
			break
		}
		b[min(at, len(b)-1)] ^= 1 << r.IntN(8)
		err = os.WriteFile(name, b, 0o600)
	case "a zeroed page":
		if at &^= 4095; at+4096 >= used {
			break // nothing seems to have been written there, or to be cut off: nobody can tell
		}
		clear(b[at:min(at+4096, len(b))])
		err = os.WriteFile(name, b, 0o600)
	case "a cut file":
		err = os.Truncate(name, int64(at))
	case "a lost file":
		err = os.Remove(name)
	}
	return fmt.Sprintf("%s, %s at %d of %d", what, filepath.Base(name), at, used), err
}

func (d *onDisk) close() {
	for _, s := range append(d.dead, d.store) {
		s.Close()
	}
}
