package listener

import (
	"github.com/mochi-mqtt/server/v2/packets"
)

// releasing is what becomes of the PUBRELs of a client. Where its session is kept
// each gets PUBCOMP when it is committed that the exchange is over (S2.1), many at
// once: those that come meanwhile wait for the next commit. The session's lock
// guards it.
type releasing struct {
	due  []released
	busy bool // a commit is under way
}

// released is a packet id that a PUBREL came for.
type released struct {
	id    uint16
	known bool // to this connection
}

// dueBytes is what a PUBREL that waits counts for, as an answer that does.
const dueBytes = 4

// owes says that nothing more is to be read until something was answered. The lock
// is held.
func (s *session) owes() bool {
	return len(s.out.replies)+dueBytes*len(s.releasing.due) > maxReplies
}

// release sees to the PUBRELs that are due.
func (s *session) release() {
	s.mu.Lock()
	r := &s.releasing
	if r.busy || len(r.due) == 0 {
		s.mu.Unlock()
		return
	}
	due := r.due
	r.due = nil
	if !s.isDurable() {
		s.complete(due, nil)
		s.mu.Unlock()
		s.signal()
		return
	}
	r.busy = true
	s.mu.Unlock()
	ids := make([]uint16, len(due))
	for i := range due {
		ids[i] = due[i].id
	}
	s.server.options.Sessions.Release(s.key, ids, func(known []bool, err error) { s.released(due, known, err) })
}

// released answers PUBRELs once that is committed.
func (s *session) released(due []released, known []bool, err error) {
	s.mu.Lock()
	s.releasing.busy = false
	if err != nil {
		s.endLocked(ending{err: &storeFault{err}, code: codeUnspecified})
		s.mu.Unlock()
		return
	}
	s.complete(due, known)
	more := s.ending == nil && len(s.releasing.due) > 0
	s.mu.Unlock()
	s.signal()
	s.drain()
	if more {
		s.release()
	}
}

// complete answers PUBRELs; known says which ids the store knew. The lock is held.
func (s *session) complete(due []released, known []bool) {
	for i, r := range due {
		reason := byte(codeUnknownID)
		if r.known || known != nil && known[i] {
			reason = 0
		}
		s.intake.complete(r.id)
		s.out.replies = appendAck(s.out.replies, packets.Pubcomp, r.id, reason, s.version)
	}
}
