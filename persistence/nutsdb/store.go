//go:build !js

package nutsdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// SegmentSize is the size of a data file in bytes. A queue keeps the size
	// that it was created with.
	SegmentSize = 8 << 20

	minSegmentSize = 4 << 10
)

// Options of a store. The zero value is good for production.
type Options struct {
	// SegmentSize is for tests, which want many segments: that of new queues,
	// in bytes, from 4 KiB to SegmentSize, which 0 means. A smaller segment
	// holds smaller entries only.
	SegmentSize int64

	// Logger gets what is of interest to an operator; nil: nobody.
	Logger *slog.Logger

	// MinFree is how much of the disk is to stay free, in bytes: with less, a queue
	// takes no messages. It is asked again and again. nil: nothing.
	MinFree func(queue string) int64

	// Lazy says of which queues the commits are not synced one by one; nil: of
	// none. See journal.Options.
	Lazy func(queue string) bool
}

func (o *Options) setDefaultsAndValidate() error {
	o.SegmentSize = cmp.Or(o.SegmentSize, SegmentSize)
	if !validSegmentSize(o.SegmentSize) {
		return fmt.Errorf("segment size %d is not between %d and %d", o.SegmentSize, minSegmentSize, SegmentSize)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MinFree == nil {
		o.MinFree = func(string) int64 { return 0 }
	}
	if o.Lazy == nil {
		o.Lazy = func(string) bool { return false }
	}
	return nil
}

func validSegmentSize(n int64) bool { return n >= minSegmentSize && n <= SegmentSize }

// Store is the queues below a directory: <dir>/<connection>/outgoing and
// <dir>/<connection>/incoming. It implements persistence.Store.
type Store struct {
	dir string
	o   Options

	fullAt  int64 // see source
	disk    disk
	deletes bool // in tests, see database
	bad     badSectors
	buffers buffers

	mu     sync.Mutex
	closed bool
	open   map[string]persistence.Queue
	failed map[string]bool // those whose last medium failed
}

var _ persistence.Store = (*Store)(nil)

// Open opens the store in dir. Nothing is made there before a queue is opened.
func Open(dir string, o Options) (*Store, error) {
	if err := o.setDefaultsAndValidate(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, explain("open", dir, &fs.PathError{Op: "open", Path: dir, Err: errNotDirectory})
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, explain("open", dir, err)
	}
	return &Store{dir: dir, o: o, fullAt: SegmentSize, disk: realDisk, open: make(map[string]persistence.Queue), failed: make(map[string]bool)}, nil
}

// Open implements persistence.Store.
func (s *Store) Open(ctx context.Context, name string) (persistence.Queue, error) {
	if !validName(name) {
		return nil, fmt.Errorf("open queue %q: the name must be <connection>/ and one of %q", name, queueNames)
	}
	dir := filepath.Join(s.dir, filepath.FromSlash(name))
	s.mu.Lock()
	closed, failed := s.closed, s.failed[name]
	s.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("open queue %s: %w", name, types.ErrClosed)
	}
	if failed {
		if err := probe(dir); err != nil {
			return nil, explain("open", name, err)
		}
	}
	src := newSource(dir, s.o)
	src.fullAt, src.disk, src.bad, src.buffers = s.fullAt, s.disk, &s.bad, &s.buffers
	src.minFree = func() int64 { return s.o.MinFree(name) }
	src.deletes = s.deletes
	src.closed = func(failed bool) { s.forget(name, failed) }
	q, err := journal.Open(ctx, src, journal.Options{
		Name: name, Logger: s.o.Logger, Lazy: s.o.Lazy(name), SegmentSize: min(s.fullAt, s.o.SegmentSize),
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if closed = s.closed; !closed {
		s.open[name] = q
	}
	s.mu.Unlock()
	if closed {
		return nil, errors.Join(fmt.Errorf("open queue %s: %w", name, types.ErrClosed), q.Close(ctx))
	}
	return q, nil
}

// forget notes that a queue was closed.
func (s *Store) forget(name string, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, name)
	delete(s.failed, name)
	if failed {
		s.failed[name] = true
	}
}

// Names implements persistence.Store.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	var names []string
	connections, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, explain("list the queues in", s.dir, err)
	}
	for _, c := range connections {
		for _, queue := range queueNames {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			name := c.Name() + "/" + queue
			if !c.IsDir() || !validName(name) {
				continue
			}
			found, err := list(filepath.Join(s.dir, c.Name(), queue))
			if errors.Is(err, errNotDirectory) {
				continue // a file of that name is no queue
			} else if err != nil {
				return nil, explain("list the queues in", s.dir, err)
			}
			if found.store || len(found.data) > 0 {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// Close implements persistence.Store. No queue may be in use by then.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	var open []persistence.Queue
	for _, q := range s.open {
		open = append(open, q)
	}
	s.mu.Unlock()
	var err error
	for _, q := range open {
		err = errors.Join(err, q.Close(context.Background()))
	}
	return err
}

// queueNames are the queues that a connection, or the local broker, may have.
var queueNames = []string{"incoming", "outgoing", "retained"}

// validName says whether name can be that of a queue; it never leads out of the
// store's directory.
func validName(name string) bool {
	connection, queue, _ := strings.Cut(name, "/")
	return slices.Contains(queueNames, queue) && connection != "" && connection[0] != '.' &&
		len(connection) <= 64 && !strings.ContainsAny(connection, "/\\:\x00")
}
