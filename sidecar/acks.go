package sidecar

import (
	"fmt"
	"sync"
)

// acks knows which PUB of a client are answered, so that all up to one can be
// acknowledged at once. It may be used concurrently.
type acks struct {
	tell func(seq uint64) // all up to it are answered

	mu    sync.Mutex
	first uint64   // number of list[0], counted from the first PUB on
	list  []answer // that are open, or behind one that is
	last  uint64   // seq
	bytes int      // of those that are not answered
	room  chan struct{}
}

// answer is what is known of a PUB.
type answer struct {
	seq  uint64
	size int
	done bool
}

func newAcks(tell func(seq uint64)) *acks { return &acks{tell: tell, room: make(chan struct{})} }

// add notes a PUB and returns its number.
func (a *acks) add(seq uint64, size int) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if seq <= a.last {
		return 0, fmt.Errorf("%w: PUB %d behind %d: the numbers of a session rise", errFrame, seq, a.last)
	}
	a.last = seq
	a.bytes += size
	a.list = append(a.list, answer{seq: seq, size: size})
	return a.first + uint64(len(a.list)) - 1, nil
}

// done says that these are answered.
func (a *acks) done(numbers ...uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range numbers {
		w := &a.list[n-a.first]
		w.done = true
		a.bytes -= w.size
	}
	n := 0
	for n < len(a.list) && a.list[n].done {
		n++
	}
	close(a.room)
	a.room = make(chan struct{})
	if n == 0 {
		return
	}
	seq := a.list[n-1].seq
	a.first += uint64(n)
	a.list = a.list[n:]
	a.tell(seq)
}

// waiting is how many bytes are not answered; room is closed when they become fewer.
func (a *acks) waiting() (bytes int, room <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes, a.room
}
