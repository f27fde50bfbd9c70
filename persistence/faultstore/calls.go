package faultstore

import "slices"

// Call is a call that is about to be made.
type Call struct {
	Op    Op
	Queue string
	N     int   // it is the N-th of its method, over all queues; from 1
	Batch Batch // of Write: what is written; of Sync: what was since the last one
}

// Batch says how much was written or synced at once.
type Batch struct {
	Messages int
	Bytes    int64 // of types.Message.Size
}

func (b *Batch) add(more Batch) {
	b.Messages += more.Messages
	b.Bytes += more.Bytes
}

// Calls is how many calls of a method were made, those that failed included.
func (s *Store) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Writes returns what each successful Write held, in order.
func (s *Store) Writes() []Batch { return s.noted(&s.writes) }

// Syncs returns what each successful Sync made durable, in order.
func (s *Store) Syncs() []Batch { return s.noted(&s.syncs) }

func (s *Store) note(list *[]Batch, b Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, b)
}

func (s *Store) noted(list *[]Batch) []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(*list)
}
