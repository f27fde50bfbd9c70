package runtime

import (
	"container/heap"
	"time"
)

// schedule is when messages that were handed out are to be handed out again: a heap,
// for there may be thousands, and all due at about the same time.
type schedule []*handed

var _ heap.Interface = (*schedule)(nil)

// plan has h handed out again at that time.
func (s *schedule) plan(h *handed, due time.Time) {
	h.due = due
	if h.planned() {
		heap.Fix(s, h.at-1)
	} else {
		heap.Push(s, h)
	}
}

// drop takes h out, if it is planned.
func (s *schedule) drop(h *handed) {
	if h.planned() {
		heap.Remove(s, h.at-1)
	}
}

// first returns what is due before all others, nil if nothing is planned.
func (s schedule) first() *handed {
	if len(s) == 0 {
		return nil
	}
	return s[0]
}

// Len implements heap.Interface, as do those below.
func (s schedule) Len() int { return len(s) }

func (s schedule) Less(i, j int) bool {
	if s[i].due.Equal(s[j].due) {
		return s[i].delivery.Seq < s[j].delivery.Seq
	}
	return s[i].due.Before(s[j].due)
}

func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].at, s[j].at = i+1, j+1
}

func (s *schedule) Push(x any) {
	h := x.(*handed)
	*s = append(*s, h)
	h.at = len(*s)
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	h := (*s)[last]
	(*s)[last] = nil
	*s, h.at = (*s)[:last], 0
	return h
}
