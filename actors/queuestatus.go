package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// queueStatus is what a queue has made public. Values are never modified.
type queueStatus struct {
	handle  persistence.Queue               // its State is asked when somebody wants to know
	left    *[types.Reasons]persistence.Set // what has left it, and is not recorded; nil: nothing
	last    persistence.State               // while there is no handle: how it was
	trouble *types.StoreError
	short   *types.StoreError // there is no room for messages, and all else is well

	// Bytes that were written, and those of payloads that were stored, before the
	// store was opened the last time.
	written, payload uint64
}

// State describes what is stored, without asking the actor. While the store
// cannot be used it is what was known last.
func (q *Queue) State() persistence.State {
	s := q.status.Load()
	if s.handle != nil {
		return s.leave(s.handle.State())
	}
	last := s.last
	if last.Next == 0 {
		last.Next = 1 // never opened, see Unread
	}
	return last
}

// leave is state when what has left is taken into account.
func (s *queueStatus) leave(state persistence.State) persistence.State {
	if s.left == nil {
		return state
	}
	for reason := range s.left {
		for r := range s.left[reason].All() {
			r.First, r.Last = max(r.First, state.Floor+1), min(r.Last, state.Next-1)
			if r.First <= r.Last {
				state.Counters.Left[reason] += state.Done.Add(r)
			}
		}
	}
	return state
}

// Unread says that the store could not be opened yet: nothing is known of what is
// in it, and State is that of an empty one.
func (q *Queue) Unread() bool {
	s := q.status.Load()
	return s.handle == nil && s.last.Next == 0
}

// Trouble is why the queue cannot store at present; nil when it can.
func (q *Queue) Trouble() error {
	if t := q.status.Load().trouble; t != nil {
		return t
	}
	return nil
}

// Status describes the queue, without asking the actor. What only the
// connection or the runtime know, InFlight and Refused, is 0.
func (q *Queue) Status() types.QueueStatus {
	pub := q.status.Load()
	status := QueueStatusOf(q.State())
	status.BytesWritten, status.PayloadBytes = status.BytesWritten+pub.written, status.PayloadBytes+pub.payload
	q.dropped.fill(&status)
	q.admission.fill(&status)
	if pub.short != nil {
		status.Trouble = pub.short.Error()
	} else if why := q.Full(); why != nil {
		status.Full = why.Error()
	}
	status.Syncs = q.syncs.Load()
	status.Limits = q.limits.Load().status()
	status.Unread = pub.handle == nil && pub.last.Next == 0
	if pub.trouble != nil {
		status.Trouble = pub.trouble.Error()
	}
	return status
}

// QueueStatusOf is the part of a status that a store knows.
func QueueStatusOf(s persistence.State) types.QueueStatus {
	left := &s.Counters.Left
	status := types.QueueStatus{
		DroppedBy:          map[string]uint64{},
		RefusedBy:          map[string]uint64{},
		Pending:            s.Pending(),
		Bytes:              s.Bytes,
		Accepted:           s.Counters.Accepted,
		Sent:               left[types.Sent],
		Dropped:            left[types.Dropped],
		Expired:            left[types.Expired],
		Cleared:            left[types.Cleared],
		Dead:               left[types.Dead],
		DeadPending:        s.Dead,
		Kept:               s.Kept,
		Quarantined:        left[types.Quarantined],
		BytesWritten:       s.BytesWritten,
		PayloadBytes:       s.PayloadBytes,
		DiskBytes:          s.DiskBytes,
		ReclaimedBytes:     s.Reclaimed,
		DuplicatesPossible: s.DuplicatesPossible,
		DowntimeUnknown:    s.DowntimeUnknown && s.Pending() > 0,
	}
	if status.Pending > 0 && !s.Oldest.IsZero() {
		status.Oldest = &s.Oldest
	}
	if !s.Compacted.IsZero() {
		status.LastCompaction = &s.Compacted
	}
	return status
}

func (a *queue) publish(change func(*queueStatus)) {
	s := *a.queue.status.Load()
	change(&s)
	a.queue.status.Store(&s)
}

func (a *queue) publishHandle() {
	a.publish(func(s *queueStatus) {
		s.written, s.payload = s.written+s.last.BytesWritten, s.payload+s.last.PayloadBytes
		s.handle, s.left, s.trouble, s.last = a.handle, nil, nil, persistence.State{}
	})
}

func (a *queue) publishClosed(last persistence.State) {
	a.publish(func(s *queueStatus) { s.handle, s.left, s.last = nil, nil, last })
}

func (a *queue) publishTrouble(t *types.StoreError) {
	a.publish(func(s *queueStatus) { s.trouble = t })
}
