package faultstore

import (
	"errors"
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

// Op is a method of a store or of its queues.
type Op int

const (
	Open Op = iota
	Write
	Sync
	Read
	Compact
	Close // of a queue
	ops
)

var opNames = [ops]string{"open", "write", "sync", "read", "compact", "close"}

func (o Op) String() string { return opNames[o] }

// Fault makes calls of one method fail.
type Fault struct {
	Op    Op
	After int   // so many calls from now on succeed first
	Times int   // so many fail then; 0: one, negative: all until Heal
	Err   error // what they return; nil: BadDisk()

	// Late lets the call reach the store within: only its answer is lost, so
	// that what it was to store is there.
	Late bool
}

// Inject adds a fault. Several may be waiting; the first that applies is used.
func (s *Store) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	if f.Err == nil {
		f.Err = BadDisk()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes all faults. A queue that has failed stays failed until it is
// opened again.
func (s *Store) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// hit returns the fault that a call meets, if any.
func (s *Store) hit(op Op) *Fault {
	var met *Fault
	for _, f := range s.faults {
		switch {
		case f.Op != op:
		case f.After > 0:
			f.After--
		case met == nil:
			met = f
			f.Times--
		}
	}
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool { return f.Times == 0 })
	return met
}

// BadDisk is the error of a disk that does not do its work, as EIO.
func BadDisk() error {
	return &types.StoreError{Op: "write to", Queue: "the disk", Err: errors.New("input/output error"),
		Hint: "the disk may be failing: check its health"}
}

// DiskFull is the error of a full disk, as ENOSPC.
func DiskFull() error {
	return &types.StoreError{Op: "write to", Queue: "the disk", Err: errors.New("no space left on device"),
		Hint: "disk full: free space or clear the queue"}
}
