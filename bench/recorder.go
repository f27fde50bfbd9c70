//go:build linux

package main

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
)

// recorder is a store that notes how many bytes each sync made durable, and
// that can make syncs slow.
type recorder struct {
	persistence.Store
	delay time.Duration // added to each sync

	mu      sync.Mutex
	batches []int64
}

// Open implements persistence.Store.
func (r *recorder) Open(ctx context.Context, name string) (persistence.Queue, error) {
	q, err := r.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &recorded{Queue: q, recorder: r, noted: q.State().BytesWritten}, nil
}

// recorded is a queue of a recorder.
type recorded struct {
	persistence.Queue
	recorder *recorder

	mu    sync.Mutex
	noted uint64 // bytes that the syncs so far have covered
}

var _ persistence.Compacter = (*recorded)(nil)

// Sync implements persistence.Queue.
func (q *recorded) Sync(ctx context.Context) error {
	q.mu.Lock()
	written := q.State().BytesWritten
	n := int64(written - q.noted)
	q.noted = written
	q.mu.Unlock()
	err := q.Queue.Sync(ctx)
	q.recorder.linger()
	if n > 0 {
		q.recorder.mu.Lock()
		q.recorder.batches = append(q.recorder.batches, n)
		q.recorder.mu.Unlock()
	}
	return err
}

// linger waits for the delay in the kernel, as a slow fdatasync would;
// time.Sleep takes up to a millisecond more.
func (r *recorder) linger() {
	if r.delay > 0 {
		left := syscall.NsecToTimespec(r.delay.Nanoseconds())
		for syscall.Nanosleep(&left, &left) == syscall.EINTR {
		}
	}
}

// Compact implements persistence.Compacter.
func (q *recorded) Compact(ctx context.Context, maxBytes int64) (persistence.Compaction, error) {
	if c, ok := q.Queue.(persistence.Compacter); ok {
		return c.Compact(ctx, maxBytes)
	}
	return persistence.Compaction{}, nil
}

// taken returns what was noted so far.
func (r *recorder) taken() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int64(nil), r.batches...)
}
