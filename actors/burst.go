package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// bursts are the times of losing messages, by why.
type bursts struct {
	by [types.Reasons]burst
}

// burst is one time of losing messages: it ends when none was lost for a while. It is
// logged once then, and not message by message.
type burst struct {
	count, before uint64 // messages; those when its timer was set
	first, last   types.Seq
	stop          func() // the timer; nil: there is no burst
}

// burstQuiet is how long after the last message a burst is over.
const burstQuiet = 10 * time.Second

// noteLost is for n messages, between first and last, that left for that reason. It
// says whether a burst begins with them.
func (a *queue) noteLost(why types.Reason, n uint64, first, last types.Seq) (begins bool) {
	if n == 0 {
		return false
	}
	b := &a.by[why]
	if begins = b.stop == nil; begins {
		*b = burst{first: first}
		a.awaitQuiet(why)
	}
	b.count, b.first, b.last = b.count+n, min(b.first, first), max(b.last, last)
	return begins
}

func (a *queue) awaitQuiet(why types.Reason) {
	b := &a.by[why]
	self, due := a.self, burstDue{a.life, why}
	b.before = b.count
	b.stop = a.config.Clock.AfterFunc(burstQuiet, func() { self.Tell(due) })
}

func (a *queue) burstDue(m burstDue) {
	switch b := &a.by[m.why]; {
	case m.life != a.life || b.stop == nil:
	case b.count > b.before:
		a.awaitQuiet(m.why)
	default:
		a.endBurst(m.why)
	}
}

// endBursts logs all that is still to be logged.
func (a *queue) endBursts() {
	for why := range a.by {
		a.endBurst(types.Reason(why))
	}
}

// endBurst logs what was lost.
func (a *queue) endBurst(why types.Reason) {
	b := &a.by[why]
	if b.stop == nil {
		return
	}
	b.stop()
	text := "messages have expired"
	if why == types.Dropped {
		text = "messages were dropped, for the queue was full"
	}
	a.config.Logger.Warn(text, "messages", b.count, "first", b.first, "last", b.last)
	*b = burst{}
}
