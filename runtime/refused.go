package runtime

import (
	"errors"
	"sync/atomic"

	"github.com/mqttdb/mqttdb/types"
)

// refused counts, since the start, what a queue can never take. What it has no room
// for the queue counts itself.
type refused struct{ tooLarge, invalid atomic.Uint64 }

// add counts a message that is refused for that error.
func (r *refused) add(why error) {
	if errors.Is(why, types.ErrTooLarge) {
		r.tooLarge.Add(1)
	} else {
		r.invalid.Add(1)
	}
}

// fill adds to s what was refused.
func (r *refused) fill(s *types.QueueStatus) {
	for reason, n := range map[string]uint64{"too_large": r.tooLarge.Load(), "invalid": r.invalid.Load()} {
		if n > 0 {
			s.RefusedBy[reason] = n
			s.Refused += n
		}
	}
}
