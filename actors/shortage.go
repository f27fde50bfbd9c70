package actors

import (
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// lookForRoom is how often a queue without room looks whether there is some.
const lookForRoom = time.Second

// shortage is the part of a queue that has no room for messages: the disk is full,
// or less of it is free than is to be. The store works, from its reserve: what is
// stored is sent, settled, cleared and compacted. Messages that were admitted before
// that was known are refused, others wait.
type shortage struct {
	short   *types.StoreError // why; nil: there is room
	nudged  uint64            // what had been written and given back when the last compaction was asked for
	refused uint64            // requests since it began
}

// runShort takes note that there is no room for messages, and refuses those that
// were admitted.
func (a *queue) runShort(why error) {
	began := a.short == nil
	a.short = a.storeError("write to", why)
	a.publishShort() // before the answers: who sends again at once must not find room (S2.1)
	if began {
		a.refused = 0
		a.config.Logger.Error("no room for messages: what is stored is sent on", "error", a.short)
		a.lookLater()
		a.forgetLapses()
		a.self.Tell(lapseDue{a.life}) // what is only kept makes room first
	}
	var turned []request
	a.waiting = slices.DeleteFunc(a.waiting, func(r request) bool {
		if len(r.Entries) == 0 {
			return false
		}
		turned = append(turned, r)
		if r.Note != nil {
			a.notes--
		}
		a.collected -= r.cost.Bytes
		return true
	})
	a.turnAway(turned)
	a.config.Changed()
}

// publishShort says it to those who have messages, too: they wait, as at a limit of
// the queue.
func (a *queue) publishShort() {
	short := a.short
	a.publish(func(s *queueStatus) { s.short = short })
	if short == nil {
		a.queue.admission.Bar(nil)
	} else {
		a.queue.admission.Bar(short)
	}
}

// turnAway refuses requests for which there is no room.
func (a *queue) turnAway(list []request) {
	a.refused += uint64(len(list))
	a.answer(&list, len(list), a.short)
}

func (a *queue) lookLater() {
	due := roomDue{a.life}
	a.config.Clock.AfterFunc(lookForRoom, func() { a.self.Tell(due) })
}

// roomDue looks whether there is room again, and has what was settled since the last
// time given back.
func (a *queue) roomDue(m roomDue) {
	if m.life != a.life || a.handle == nil || a.short == nil {
		return
	}
	err := error(nil)
	if r, ok := a.handle.(persistence.Roomy); ok {
		err = r.Room(a.context())
	}
	switch {
	case err == nil:
		a.short = nil
		a.publishShort()
		a.config.Logger.Info("there is room for messages again", "refused_meanwhile", a.refused)
		a.config.Changed()
		return
	case !persistence.Refused(err):
		a.fail(a.storeError("write to", err))
		return
	}
	a.short = a.storeError("write to", err)
	a.publishShort()
	s := a.handle.State()
	if changes := s.BytesWritten + s.Reclaimed; changes != a.nudged {
		a.nudged = changes
		// Who wants an answer gets a pass of his own: the one under way may have been
		// planned when there was room.
		a.config.Compactor.Tell(CompactNow{Queue: a.queue, Reply: func(persistence.Compaction, error) {}})
	}
	a.lookLater()
}
