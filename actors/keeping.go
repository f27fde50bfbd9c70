package actors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// keeping is the part of a queue that keeps what was sent for a while. The store
// keeps messages until it is told that they lapse. When they were sent is noted for
// many at once, as steps of the ack floor.
type keeping struct {
	steps  sentSteps
	noted  time.Time // when a step was last
	latest time.Time // when something was last sent
	lapses func()    // stops the timer of the next lapse; nil: none runs
}

// sentStep says that everything up to a number had left the queue when its age clock
// showed at.
type sentStep struct {
	at    time.Duration
	floor types.Seq
}

// sentSteps are in order of time. They are stored as marks:
//
//	sent/<at, ms, as 16 hex digits>  floor, a uvarint
//
// Those that lie close together are left out when they are old: from one to the next
// it is no longer than stepEvery, or the 1/32 of how long they are ago.
type sentSteps []sentStep

const (
	markSent  = "sent/"
	stepEvery = 5 * time.Second
	stepShare = 32
)

func (s sentStep) key() string { return fmt.Sprintf("%s%016x", markSent, s.at.Milliseconds()) }

func (s sentStep) mark() persistence.Mark {
	return persistence.Mark{Key: s.key(), Value: binary.AppendUvarint(nil, uint64(s.floor))}
}

// readSentStep reads a mark.
func readSentStep(key string, value []byte) (sentStep, error) {
	ms, err := strconv.ParseInt(strings.TrimPrefix(key, markSent), 16, 64)
	floor, n := binary.Uvarint(value)
	if err != nil || n <= 0 || ms > int64(1<<62/time.Millisecond) {
		return sentStep{}, fmt.Errorf("mark %q: %w", key, types.ErrCorrupt)
	}
	return sentStep{time.Duration(ms) * time.Millisecond, types.Seq(floor)}, nil
}

// add notes a step, and returns the marks that this changes.
func (l *sentSteps) add(s sentStep) (changed []persistence.Mark) {
	list := *l
	if n := len(list); n > 0 {
		switch last := &list[n-1]; {
		case s.floor <= last.floor:
			return nil
		case s.key() == last.key():
			last.floor = s.floor
			return []persistence.Mark{s.mark()}
		}
	}
	list = append(list, s)
	changed = append(changed, s.mark())
	kept := list[:min(1, len(list))]
	for i := 1; i < len(list); i++ {
		if i+1 < len(list) && list[i+1].at-kept[len(kept)-1].at <= (s.at-list[i+1].at)/stepShare {
			changed = append(changed, persistence.Mark{Key: list[i].key()})
			continue
		}
		kept = append(kept, list[i])
	}
	*l = kept
	return changed
}

// before returns the highest number that is known to have left at that time, 0 if
// none is.
func (l sentSteps) before(at time.Duration) types.Seq {
	i, _ := slices.BinarySearchFunc(l, at+1, func(s sentStep, at time.Duration) int { return cmp.Compare(s.at, at) })
	if i == 0 {
		return 0
	}
	return l[i-1].floor
}

// drop forgets the steps up to a number, and returns the marks that this changes.
func (l *sentSteps) drop(upTo types.Seq) (changed []persistence.Mark) {
	for len(*l) > 0 && (*l)[0].floor <= upTo {
		changed = append(changed, persistence.Mark{Key: (*l)[0].key()})
		*l = (*l)[1:]
	}
	return changed
}

// loadKept is for a store that was opened.
func (a *queue) loadKept() {
	a.forgetLapses()
	a.steps, a.noted, a.latest = nil, time.Time{}, time.Time{}
	for key, value := range a.handle.Marks(markSent) {
		s, err := readSentStep(key, value)
		if err != nil {
			a.config.Logger.Error("when messages were sent cannot be read; they are kept for longer", "error", err)
			continue
		}
		a.steps = append(a.steps, s)
	}
	if a.handle.State().Kept > 0 {
		a.awaitLapse()
	}
}

// makeRoom has what is kept give way to c where the queue has a limit: it counts for
// that, and new messages matter more.
func (a *queue) makeRoom(c *persistence.Commit) {
	limits := a.config.Limits
	if !limits.bounded() {
		return
	}
	s := a.handle.State()
	if s.Kept == 0 {
		return
	}
	each := max(int64(s.KeptBytes/s.Kept), 1)
	left := int64(s.Kept)
	for _, r := range c.Lapsed {
		left -= int64(s.Sent.Within(r))
	}
	many, large := int64(s.Pending())+left+int64(len(c.Messages)), int64(s.Bytes)+left*each
	for i := range c.Messages {
		large += storedSize(&c.Messages[i])
	}
	over := int64(0)
	if limits.MaxMessages > 0 {
		over = many - int64(limits.MaxMessages)
	}
	if limits.MaxBytes > 0 {
		over = max(over, (large-limits.MaxBytes+each-1)/each)
	}
	if over > 0 {
		a.giveUpKept(c, s, uint64(over))
	}
}

// setKeepSent is for a queue that is to keep what is sent from now on for another
// time.
func (a *queue) setKeepSent(d time.Duration) {
	if d == a.config.KeepSent {
		return
	}
	a.config.KeepSent = d
	a.forgetLapses()
	if a.handle != nil {
		a.awaitLapse()
	}
}

// keep sees to it that what c says was sent is kept.
func (a *queue) keep(c *persistence.Commit) {
	if a.config.KeepSent <= 0 || a.short != nil {
		return
	}
	a.makeRoom(c)
	sent := false
	for i := range c.Done {
		if c.Done[i].Reason == types.Sent {
			c.Done[i].Keep, sent = true, true
		}
	}
	if !sent {
		return
	}
	now := a.config.Clock.Now()
	if now.Sub(a.noted) >= min(stepEvery, a.config.KeepSent/stepShare) {
		a.noted = now
		a.noteStep(c, now, a.handle.State())
	}
	a.latest = now
	a.awaitLapse()
}

// noteStep adds to c what has left before it. That was at the latest when something
// was last sent. The time now was read before s: however long that took, nothing
// lapses too early, nor because the age clock shows whole milliseconds.
func (a *queue) noteStep(c *persistence.Commit, now time.Time, s persistence.State) {
	at := s.Age + time.Millisecond
	if !a.latest.IsZero() {
		at -= now.Sub(a.latest)
	}
	c.Marks = append(c.Marks, a.steps.add(sentStep{at, s.Floor})...)
}

// awaitLapse sees to it that what is kept lapses.
func (a *queue) awaitLapse() {
	if a.lapses != nil {
		return
	}
	due := lapseDue{a.life}
	every := min(max(a.config.KeepSent/stepShare, 10*time.Millisecond), time.Minute)
	a.lapses = a.config.Clock.AfterFunc(every, func() { a.self.Tell(due) })
}

func (a *queue) forgetLapses() {
	if a.lapses != nil {
		a.lapses()
		a.lapses = nil
	}
}

// lapseDue is for what was kept for long enough. What was sent last gets a step, too.
func (a *queue) lapseDue(m lapseDue) {
	if m.life != a.life {
		return
	}
	a.lapses = nil
	if a.handle == nil {
		return
	}
	now := a.config.Clock.Now()
	s := a.handle.State()
	upTo := s.Next - 1
	c := persistence.Commit{}
	if a.config.KeepSent > 0 && a.short == nil {
		a.noteStep(&c, now, s)
		upTo = a.steps.before(s.Age - a.config.KeepSent)
	}
	a.lapse(&c, s, upTo)
	a.makeRoom(&c)
	if len(c.Marks) == 0 && len(c.Lapsed) == 0 {
		if s.Kept > 0 {
			a.awaitLapse()
		}
		return
	}
	_, err := a.handle.Write(a.context(), c)
	switch {
	case persistence.Refused(err):
		a.config.Logger.Warn("what was sent and kept cannot be forgotten yet", "error", err)
	case err != nil:
		a.fail(a.storeError("write to", err))
		return
	}
	if a.handle.State().Kept > 0 {
		a.awaitLapse()
	}
	a.config.Changed()
}

// lapse adds to c that everything up to a number is kept no longer.
func (a *queue) lapse(c *persistence.Commit, s persistence.State, upTo types.Seq) {
	for first := range s.Sent.All() {
		if first.First <= upTo {
			c.Lapsed.Add(persistence.Range{First: first.First, Last: upTo})
		}
		break
	}
	c.Marks = append(c.Marks, a.steps.drop(upTo)...)
}

// giveUpKept adds to c that so many messages of what is kept, from the oldest on, are
// so no longer: something else needs their room.
func (a *queue) giveUpKept(c *persistence.Commit, s persistence.State, n uint64) {
	var chosen persistence.Ranges
	for r := range s.Sent.All() {
		for _, r := range c.Lapsed.Missing(r) {
			if take := min(n, r.Count()); take > 0 {
				chosen.Add(persistence.Range{First: r.First, Last: r.First + types.Seq(take-1)})
				n -= take
			}
		}
		if n == 0 {
			break
		}
	}
	for _, r := range chosen {
		c.Lapsed.Add(r)
	}
}
