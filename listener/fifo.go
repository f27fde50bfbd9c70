package listener

// fifo is a queue in a ring that grows by doubling and is given back when it is
// empty and was large.
type fifo[T any] struct {
	ring  []T // its length is 0 or a power of two
	first int
	count int
}

func (f *fifo[T]) len() int { return f.count }

func (f *fifo[T]) front() T { return f.ring[f.first] }

func (f *fifo[T]) push(v T) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.ring[(f.first+f.count)&(len(f.ring)-1)] = v
	f.count++
}

func (f *fifo[T]) pop() T {
	var none T
	v := f.ring[f.first]
	f.ring[f.first] = none
	f.first = (f.first + 1) & (len(f.ring) - 1)
	if f.count--; f.count == 0 && len(f.ring) > 256 {
		f.ring, f.first = nil, 0
	}
	return v
}

// unpush takes back what was pushed last.
func (f *fifo[T]) unpush() T {
	var none T
	f.count--
	last := &f.ring[(f.first+f.count)&(len(f.ring)-1)]
	v := *last
	*last = none
	return v
}

// unpop puts v in front.
func (f *fifo[T]) unpop(v T) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.first = (f.first - 1) & (len(f.ring) - 1)
	f.ring[f.first] = v
	f.count++
}

func (f *fifo[T]) grow() {
	ring := make([]T, max(8, 2*len(f.ring)))
	for i := range f.count {
		ring[i] = f.ring[(f.first+i)&(len(f.ring)-1)]
	}
	f.ring, f.first = ring, 0
}
