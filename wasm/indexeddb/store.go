//go:build js

package indexeddb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// SegmentSize is how large a segment becomes, in bytes.
const SegmentSize = 8 << 20

// Options of a store. The zero value is good for production.
type Options struct {
	// Prefix is what the names of the databases begin with; "": mqttdb.
	Prefix string

	// SegmentSize is for tests, which want many segments, in bytes; 0: SegmentSize. A
	// larger entry has a segment of its own.
	SegmentSize int64

	// Reserve is for tests: bytes that are kept for what makes room again; 0: 12 MiB.
	Reserve int

	// Logger gets what is of interest to an operator; nil: nobody.
	Logger *slog.Logger

	// Lazy says of which queues the commits are not synced one by one; nil: of none. They
	// survive the end of the browser, and a power cut may take those that were not synced.
	Lazy func(queue string) bool
}

func (o *Options) setDefaults() {
	o.Prefix = cmp.Or(o.Prefix, "mqttdb")
	o.SegmentSize = cmp.Or(o.SegmentSize, SegmentSize)
	o.Reserve = cmp.Or(o.Reserve, reserveSize)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Lazy == nil {
		o.Lazy = func(string) bool { return false }
	}
}

// Store is the queues of an origin. It implements persistence.Store.
type Store struct {
	o       Options
	quota   quota
	reserve reserve

	mu     sync.Mutex
	asked  bool // for storage that the browser does not evict
	closed bool
	open   map[string]*source
	queues map[string]persistence.Queue
}

var _ persistence.Store = (*Store)(nil)

// Open opens the store of this origin. Nothing is made before a queue is opened.
func Open(o Options) *Store {
	o.setDefaults()
	return &Store{o: o, quota: quota{ask: estimate}, reserve: reserve{name: o.Prefix + "/reserve", size: o.Reserve}, open: make(map[string]*source), queues: make(map[string]persistence.Queue)}
}

// Usable returns an error that says what to do where the browser lets the page store nothing.
// One that was killed a moment ago may still hold what it had: that is waited for.
func (s *Store) Usable() error {
	for began := time.Now(); ; time.Sleep(usableStep) {
		_, err := databases()
		var thrown *exception
		if !errors.As(err, &thrown) || thrown.name != "UnknownError" || time.Since(began) > usableWithin {
			return explain("open", "the browser's storage", err)
		}
	}
}

// usableWithin is how long it is tried, and usableStep how often.
const usableWithin, usableStep = 5 * time.Second, 100 * time.Millisecond

// Open implements persistence.Store.
func (s *Store) Open(ctx context.Context, name string) (persistence.Queue, error) {
	if !validName(name) {
		return nil, fmt.Errorf("open queue %q: the name must be <connection>/ and one of %q", name, queueNames)
	}
	src := &source{store: s, name: name, database: s.o.Prefix + "/" + name, size: s.o.SegmentSize, lazy: s.o.Lazy(name), quota: &s.quota}
	if err := s.begin(src); err != nil {
		return nil, err
	}
	q, err := journal.Open(ctx, src, journal.Options{Name: name, Logger: s.o.Logger, Lazy: src.lazy, SegmentSize: src.size})
	if err != nil {
		s.forget(src)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[name] == src {
		s.queues[name] = q
	}
	return q, nil
}

// begin notes that a queue is being opened.
func (s *Store) begin(src *source) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return fmt.Errorf("open queue %s: %w", src.name, types.ErrClosed)
	case s.open[src.name] != nil:
		return explain("open", src.name, types.ErrInUse)
	}
	s.open[src.name] = src
	if !s.asked {
		s.asked = true
		askToPersist()
		go func() { _ = s.reserve.keep() }() // whoever needs it is told
	}
	return nil
}

// forget notes that a queue was closed.
func (s *Store) forget(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[src.name] == src {
		delete(s.open, src.name)
		delete(s.queues, src.name)
	}
}

// askToPersist asks that what is stored is not evicted when the device runs short. Only pages
// can: in a Worker, which has no such function, it is the page's to ask.
func askToPersist() {
	if storage := global("navigator", "storage"); storage.Type() == js.TypeObject && storage.Get("persist").Type() == js.TypeFunction {
		go func() { _, _ = settled(func() js.Value { return storage.Call("persist") }) }()
	}
}

// Names implements persistence.Store.
func (s *Store) Names(context.Context) ([]string, error) {
	all, err := databases()
	if err != nil {
		return nil, explain("list the queues in", s.o.Prefix, err)
	}
	var names []string
	for _, database := range all {
		if name, ours := strings.CutPrefix(database, s.o.Prefix+"/"); ours && validName(name) {
			names = append(names, name)
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
	for _, q := range s.queues {
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

// validName says whether name can be that of a queue.
func validName(name string) bool {
	connection, queue, _ := strings.Cut(name, "/")
	return slices.Contains(queueNames, queue) && connection != "" && len(connection) <= 64
}
