// Package memory keeps queues in memory: for connections that do not persist,
// and as the reference that other stores are compared with. What a Store holds
// lives as long as it does, so that a queue can be closed and opened again, and
// it can crash the way a disk does.
package memory

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// Options of a Store.
type Options struct {
	SegmentSize int             // bytes; 0: 8 MiB
	Journal     journal.Options // for each queue; the name is filled in
}

// Store is a persistence.Store in memory.
type Store struct {
	o     Options
	mu    sync.Mutex
	disks map[string]*disk
}

var _ persistence.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) *Store {
	if o.SegmentSize == 0 {
		o.SegmentSize = 8 << 20
	}
	return &Store{o: o, disks: make(map[string]*disk)}
}

// Open implements persistence.Store.
func (s *Store) Open(ctx context.Context, name string) (persistence.Queue, error) {
	o := s.o.Journal
	o.Name, o.SegmentSize = name, int64(s.o.SegmentSize)
	return journal.Open(ctx, s.Source(name), o)
}

// Source returns the place of the named queue, for tests that come between it
// and its journal.
func (s *Store) Source(name string) journal.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.disks[name]
	if d == nil {
		d = &disk{size: s.o.SegmentSize}
		s.disks[name] = d
	}
	return d
}

// Names implements persistence.Store.
func (s *Store) Names(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.disks)), nil
}

// Close implements persistence.Store. Queues that are still open are cut off.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.disks {
		d.cutOff()
	}
	return nil
}

// Kill returns a store that holds what the death of the process would leave of
// s: everything that was written. The queues of s that are open are cut off.
func (s *Store) Kill() *Store { return s.crash(nil) }

// PowerCut returns a store that holds what a power cut might leave of s:
// everything that was synced, and of what was written since then an arbitrary
// part, some of it torn. The queues of s that are open are cut off.
func (s *Store) PowerCut(r *rand.Rand) *Store { return s.crash(r) }

// Crash returns what Kill returns or, with r, PowerCut.
func (s *Store) Crash(r *rand.Rand) persistence.Store { return s.crash(r) }

func (s *Store) crash(r *rand.Rand) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := New(s.o)
	for _, name := range slices.Sorted(maps.Keys(s.disks)) {
		after.disks[name] = s.disks[name].crash(r)
	}
	return after
}

// errCutOff answers the owner of a queue whose store was closed or crashed.
var errCutOff = fmt.Errorf("%w: the store was closed", types.ErrClosed)
