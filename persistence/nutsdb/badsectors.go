//go:build !js

package nutsdb

import (
	"errors"
	"sync"
	"syscall"
)

// badSectors remembers, over the lives of the queues of a store, which entries
// the disk could not read. What fails once may be read the next time; what fails
// again after the queue was opened anew is taken for gone.
type badSectors struct {
	mu   sync.Mutex
	seen map[badSector]*medium // that met it first
}

type badSector struct {
	dir string
	key uint64
}

// lost says whether an error of reading the entry for m is one that will not go
// away.
func (b *badSectors) lost(m *medium, key uint64, err error) bool {
	if !errors.Is(err, syscall.EIO) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := badSector{m.dir, key}
	first, seen := b.seen[at]
	if !seen {
		if b.seen == nil {
			b.seen = make(map[badSector]*medium)
		}
		b.seen[at] = m
	}
	return seen && first != m
}

// well forgets that an entry could not be read.
func (b *badSectors) well(m *medium, key uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, badSector{m.dir, key})
}
