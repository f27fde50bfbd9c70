// Package faultstore wraps a persistence.Store for tests and measurements: it
// makes the calls fail or wait that it is told to, counts them with what they
// held, and crashes if the store within can.
package faultstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
)

// Store is a persistence.Store around another one. All methods may be called
// concurrently.
type Store struct {
	inner persistence.Store

	mu     sync.Mutex
	faults []*Fault
	before func(context.Context, Call) error
	calls  [ops]int
	writes []Batch
	syncs  []Batch
}

var _ persistence.Store = (*Store)(nil)

// New returns a store that does what inner does, until it is told otherwise.
func New(inner persistence.Store) *Store { return &Store{inner: inner} }

// Before has f called at the beginning of each call: f may wait for as long as
// it likes, as a slow disk does, and the call fails with what it returns, if
// that is not nil. It runs where the call runs. A nil f ends it.
func (s *Store) Before(f func(context.Context, Call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Open implements persistence.Store.
func (s *Store) Open(ctx context.Context, name string) (persistence.Queue, error) {
	var q persistence.Queue
	err := s.do(ctx, Call{Op: Open, Queue: name}, func() (err error) {
		q, err = s.inner.Open(ctx, name)
		return err
	})
	if err != nil {
		if q != nil {
			err = errors.Join(err, q.Close(ctx)) // a late fault: nobody else will
		}
		return nil, err
	}
	return &queue{Queue: q, store: s, name: name}, nil
}

// Names implements persistence.Store.
func (s *Store) Names(ctx context.Context) ([]string, error) { return s.inner.Names(ctx) }

// Close implements persistence.Store.
func (s *Store) Close() error { return s.inner.Close() }

// Crasher is a store that can crash.
type Crasher interface {
	// Crash returns a store that holds what the death of the process would leave
	// of this one or, with r, what a power cut might leave. The queues of this
	// one are cut off.
	Crash(r *rand.Rand) persistence.Store
}

// Crash is that of the store within, which must be a Crasher. What is returned
// has no faults, and begins to count anew.
func (s *Store) Crash(r *rand.Rand) (*Store, error) {
	c, ok := s.inner.(Crasher)
	if !ok {
		return nil, fmt.Errorf("a %T cannot crash", s.inner)
	}
	return New(c.Crash(r)), nil
}

// do makes a call: it may fail before it reaches the store within, or after.
func (s *Store) do(ctx context.Context, c Call, call func() error) error {
	s.mu.Lock()
	s.calls[c.Op]++
	c.N = s.calls[c.Op]
	before := s.before
	fault := s.hit(c.Op)
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx, c); err != nil {
			return err
		}
	}
	if fault == nil {
		return call()
	}
	if fault.Late {
		if err := call(); err != nil {
			return err
		}
	}
	return fault.Err
}
