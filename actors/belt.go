package actors

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mqttdb/mqttdb/types"
)

// belt is the Receiver of a pump: what was given and is not done. The first of it
// may be under way. Its methods may be called concurrently.
type belt struct {
	self Ref[PumpMessage]
	try  uint64

	mu       sync.Mutex
	list     []Delivery
	underWay int       // so many of list are being stored
	last     types.Seq // of what has left
	isOpen   bool      // the pump knows its token
	told     bool      // the pump is going to look
}

var _ Receiver = (*belt)(nil)

func newBelt(self Ref[PumpMessage], try uint64) *belt { return &belt{self: self, try: try} }

// Deliver implements Receiver.
func (b *belt) Deliver(list []Delivery, _ types.Seq) {
	b.mu.Lock()
	b.list = append(b.list, list...)
	tell := !b.told && len(b.list) > 0
	b.told = b.told || tell
	b.mu.Unlock()
	if tell {
		b.self.Tell(pumpGiven{})
	}
}

// Recall implements Receiver. What is just being stored has left; its pump
// finishes it.
func (b *belt) Recall() types.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.underWay > 0 {
		b.last = b.list[b.underWay-1].Seq
	}
	clear(b.list[b.underWay:])
	b.list = b.list[:b.underWay]
	return b.last
}

// Ended implements Receiver.
func (b *belt) Ended(error) { b.self.Tell(pumpEnded{b.try}) }

// open says that the pump can acknowledge now.
func (b *belt) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.isOpen = true
}

// take returns the first ones, some many at most, which are under way then.
func (b *belt) take(most int) []Delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = false
	if !b.isOpen {
		return nil
	}
	b.underWay = min(most, len(b.list))
	return slices.Clone(b.list[:b.underWay])
}

// giveBack says that the last ones, n in number, are not under way after all.
func (b *belt) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay -= n
}

// done says that these, the first ones, are done.
func (b *belt) done(list []Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(list) == 0 {
		return
	}
	b.last = list[len(list)-1].Seq
	b.underWay -= len(list)
	rest := copy(b.list, b.list[len(list):])
	clear(b.list[rest:])
	b.list = b.list[:rest]
}

// back says that nothing is under way any more.
func (b *belt) back() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay = 0
}

// load is what a pump has under way.
type load struct {
	self     Ref[PumpMessage]
	list     []Delivery
	passages []types.Passage
	errs     []error
	taken    int
	left     atomic.Int64 // answers that are missing, and one for takes
}

func newLoad(self Ref[PumpMessage], list []Delivery) *load {
	l := &load{self: self, list: list, passages: make([]types.Passage, len(list)), errs: make([]error, len(list))}
	l.left.Store(int64(len(list)) + 1)
	return l
}

func (l *load) answer(i int, err error) {
	l.errs[i] = err
	if l.left.Add(-1) == 0 {
		l.self.Tell(pumpStored{l})
	}
}

// takes says how many there are; it returns false if none are.
func (l *load) takes(n int) bool {
	l.taken = n
	if n == 0 {
		return false
	}
	if l.left.Add(int64(n-len(l.list))-1) == 0 {
		l.self.Tell(pumpStored{l})
	}
	return true
}
