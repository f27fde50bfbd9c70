package actors

import (
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// pendingSettled is what the connection has settled and the store does not know
// yet.
type pendingSettled struct {
	settled    [types.Reasons]persistence.Ranges
	letters    []persistence.Done // dead, with their causes
	marks      []persistence.Mark
	settling   bool   // a settleNow is on its way
	sinceCheck uint64 // messages settled since the store was asked whether it wants compaction
}

// Ask the store whether it wants to be compacted after so many messages.
const compactionCheck = 4096

// forgetSettled drops what was not written: the connection repeats it when it is
// told Opened.
func (s *pendingSettled) forgetSettled() {
	s.marks, s.letters = nil, nil
	for i := range s.settled {
		s.settled[i] = nil
	}
}

// settle takes m into the next commit.
func (a *queue) settle(m Settle) {
	if a.handle == nil && a.kept == nil {
		return // the connection repeats it when it is told Opened
	}
	if m.Store != (persistence.StoreID{}) && m.Store != a.store {
		return // the numbers are those of a store that was replaced
	}
	if len(m.Marks) > 0 {
		if a.notes > 0 && a.handle != nil { // an older mark must not come behind a newer one
			if !a.write() {
				return
			}
			a.startSync()
		}
		a.marks = append(a.marks, m.Marks...)
	}
	for _, d := range m.Done {
		if d.Cause != "" {
			a.letters = append(a.letters, d)
			continue
		}
		n := a.settled[d.Reason].Add(d.Range)
		a.sinceCheck += n
		if d.Reason == types.Expired {
			a.noteLost(d.Reason, n, d.Range.First, d.Range.Last)
		}
	}
	a.armSettled()
}

// armSettled sees to it that what was settled is written behind all that is in the
// mailbox already, also while messages wait longer for their commit: it holds places
// in the window of whoever sends.
func (a *queue) armSettled() {
	if a.config.CommitDelay == 0 || len(a.waiting) == 0 {
		a.arm()
	} else if !a.settling {
		a.settling = true
		a.self.Tell(settleNow{})
	}
}

// settleNow writes what was settled.
func (a *queue) settleNow() {
	a.settling = false
	if a.handle == nil {
		a.noteLeft()
		return
	}
	a.writeSettled()
}

func (s *pendingSettled) anySettled() bool {
	if len(s.marks) > 0 || len(s.letters) > 0 {
		return true
	}
	for i := range s.settled {
		if len(s.settled[i]) > 0 {
			return true
		}
	}
	return false
}

// settledAbove says whether something above seq is settled and not written.
func (s *pendingSettled) settledAbove(seq types.Seq) bool {
	for i := range s.settled {
		if n := len(s.settled[i]); n > 0 && s.settled[i][n-1].Last > seq {
			return true
		}
	}
	return slices.ContainsFunc(s.letters, func(d persistence.Done) bool { return d.Range.Last > seq })
}

// settledDone appends what is to be written.
func (s *pendingSettled) settledDone(done []persistence.Done) []persistence.Done {
	for reason := range s.settled {
		for _, r := range s.settled[reason] {
			done = append(done, persistence.Done{Range: r, Reason: types.Reason(reason)})
		}
	}
	return append(done, s.letters...)
}

// writeSettled writes what was settled, without messages and without a sync,
// and says whether that went well.
func (a *queue) writeSettled() bool {
	if !a.anySettled() {
		return true
	}
	if err := a.recordSettled(); err != nil {
		a.fail(a.storeError("write to", err))
		return false
	}
	a.config.Changed()
	return true
}

// recordSettled writes what was settled, and nothing else. Should there be no
// room to note it, it stays pending, and is sent again after the next start: that
// must not hold up what follows.
func (a *queue) recordSettled() error {
	c := &a.scratch
	a.beginCommit(c)
	a.keep(c)
	_, err := a.handle.Write(a.context(), *c)
	if persistence.Refused(err) {
		a.config.Logger.Error("what has left the queue cannot be recorded", "error", err)
	} else if err != nil {
		return err
	}
	a.tellSettled()
	return nil
}

// tellSettled tells the connection what was written as settled.
func (a *queue) tellSettled() {
	clear(a.marks)
	a.marks = a.marks[:0]
	var all persistence.Ranges
	for _, d := range a.letters {
		all.Add(d.Range)
	}
	a.letters = nil
	for i := range a.settled {
		for _, r := range a.settled[i] {
			all.Add(r)
		}
		a.settled[i] = a.settled[i][:0]
	}
	if len(all) == 0 {
		return
	}
	a.connection.Tell(Settled{all})
	a.checkCompaction()
}

// checkCompaction has the store compacted, if it wants to be after so many commits,
// or messages that have left.
func (a *queue) checkCompaction() {
	if a.sinceCheck >= compactionCheck && a.handle != nil {
		a.sinceCheck = 0
		if a.handle.State().CompactionDue {
			a.config.Compactor.Tell(CompactNow{Queue: a.queue})
		}
	}
}
