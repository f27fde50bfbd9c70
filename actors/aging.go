package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// aging is the part of a queue that removes what has expired, also while nothing is
// sent. Whoever drains the queue looks at the time itself, whenever it sends: so
// what is removed here would not leave any more. What is in flight stays [S3.5]:
//
//	due ─▶ look ─▶ Recall{keep} ─▶ recalled ─▶ commit, Settled ─▶ look … due
type aging struct {
	wake    func()    // stops the timer; nil: none runs
	due     time.Time // when it ends
	turn    uint64    // number of the step that comes next
	looking bool      // a look has begun
	seen    types.Seq // looked at up to here
	soonest time.Time // something expires then
	held    bool      // some of what was found is in flight
	stuck   bool      // so it was since the look began
	token   uint64    // of the Recall that is to be answered; 0: none
	found   persistence.Expired
}

const (
	// ageStep is the least between two looks, so that many messages that expire one
	// after the other are removed together.
	ageStep = time.Second
	// ageStuck is the wait where what has expired is in flight.
	ageStuck = 5 * time.Second
	// agePause is the wait between two steps of a look that may read something.
	agePause = 100 * time.Millisecond
)

// expires has it looked when a message expires that comes in now.
func (a *queue) expires(own time.Duration) {
	if most := sooner(own, a.config.MaxAge); most > 0 {
		a.lookIn(most)
	}
}

// lookIn has it looked after a while, or before.
func (a *queue) lookIn(d time.Duration) {
	due := a.config.Clock.Now().Add(max(d, ageStep))
	if a.looking {
		a.soonest = earlier(a.soonest, due)
	} else if a.wake == nil || a.due.After(due) {
		a.ageIn(max(d, ageStep))
	}
}

// earlier is the first of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// ageIn sets the timer.
func (a *queue) ageIn(d time.Duration) {
	a.stopAging()
	a.due = a.config.Clock.Now().Add(d)
	self, due := a.self, a.ageNext()
	a.wake = a.config.Clock.AfterFunc(d, func() { self.Tell(due) })
}

// ageNext is the step that comes next; none before counts.
func (a *queue) ageNext() ageDue {
	a.turn++
	return ageDue{a.life, a.turn}
}

func (a *queue) stopAging() {
	if a.wake != nil {
		a.wake()
		a.wake = nil
	}
}

// beginAging is for a store that was opened: something may have expired meanwhile.
func (a *queue) beginAging() {
	a.aging = aging{turn: a.turn}
	a.ageIn(agePause)
}

// ageDue looks for what has expired.
func (a *queue) ageDue(m ageDue) {
	if m != (ageDue{a.life, a.turn}) || a.handle == nil { // it begins anew when the store is opened
		return
	}
	a.wake, a.looking = nil, true
	if a.clearing.busy() {
		a.ageIn(ageStep)
		return
	}
	x, ok := a.handle.(persistence.Expirer)
	if !ok || !a.writeSettled() {
		return
	}
	found, err := x.Expired(a.context(), a.seen, a.config.MaxAge)
	if err != nil {
		a.failRead(a.storeError("read", err))
		return
	}
	a.soonest, a.found = earlier(a.soonest, found.Next), found
	if len(found.Numbers) == 0 {
		a.aged()
		return
	}
	select {
	case <-a.connection.Gone():
		a.connection = drainer{}
	default:
	}
	a.recalls++
	a.token = a.recalls
	if a.connection == (drainer{}) {
		a.age(recalled{unknown: true})
		return
	}
	a.connection.Tell(Recall{token: a.token, keep: true})
}

// age removes what was found, but for what is in flight.
func (a *queue) age(m recalled) {
	a.token = 0
	if a.handle == nil || !a.writeSettled() {
		return
	}
	inFlight, err := a.findInFlight(m)
	if err != nil {
		a.failRead(a.storeError("read", err))
		return
	}
	var c persistence.Commit
	var gone persistence.Ranges
	for _, r := range a.found.Numbers {
		for _, r := range inFlight.Missing(r) {
			c.Done = append(c.Done, persistence.Done{Range: r, Reason: types.Expired})
			gone.Add(r)
		}
	}
	a.held = gone.Count() < a.found.Numbers.Count()
	a.stuck = a.stuck || a.held
	if len(gone) > 0 && !a.removeExpired(c, gone) {
		return
	}
	a.aged()
}

// removeExpired writes that these have expired, and says whether that went well.
func (a *queue) removeExpired(c persistence.Commit, gone persistence.Ranges) bool {
	before := a.handle.State().Counters.Left[types.Expired]
	if _, err := a.handle.Write(a.context(), c); persistence.Refused(err) {
		a.config.Logger.Error("what has expired cannot be removed", "error", err)
		a.held, a.stuck = true, true
		return true
	} else if err != nil {
		a.fail(a.storeError("write to", err))
		return false
	}
	n := a.handle.State().Counters.Left[types.Expired] - before
	a.noteLost(types.Expired, n, gone[0].First, gone[len(gone)-1].Last)
	a.sinceCheck += gone.Count()
	a.connection.Tell(Settled{gone})
	a.checkCompaction()
	a.config.Changed()
	return true
}

// aged goes on behind what was found, or sees to the next look.
func (a *queue) aged() {
	switch gone := len(a.found.Numbers) > 0; {
	case gone && !a.held: // once more, for what is left there
		a.self.Tell(a.ageNext())
		return
	case a.found.More:
		a.seen, a.held = a.found.Through, false
		if a.found.Loaded {
			a.ageIn(agePause)
		} else {
			a.self.Tell(a.ageNext())
		}
		return
	}
	soonest, stuck := a.soonest, a.stuck
	a.aging = aging{turn: a.turn}
	if stuck {
		a.lookIn(ageStuck)
	}
	if !soonest.IsZero() {
		a.lookIn(soonest.Sub(a.config.Clock.Now()))
	}
}

// setMaxAge changes how long a message may leave.
func (a *queue) setMaxAge(d time.Duration) {
	if a.config.MaxAge == d {
		return
	}
	a.config.MaxAge = d
	a.connection.Tell(SetMaxAge{d}) // behind the Settled of what has expired by the old one
	if a.handle != nil {
		a.lookIn(0)
	}
}
