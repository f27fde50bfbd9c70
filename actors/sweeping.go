package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// sweeping is the part of the actor that goes through the queue, in steps, to
// settle what belongs to nobody any more: after a start, and when a consumer has
// ended or has lost a subscription.
type sweeping struct {
	swept, sweepTo types.Seq // done, of what is to be looked at
	sweepReading   bool
	sweepAnew      bool // from the beginning, when the answer is there
}

// sweep begins anew, up to what was given out so far.
func (a *consumers) sweep() {
	a.sweepTo = a.head
	if a.sweepReading {
		a.sweepAnew = true
		return
	}
	a.swept = 0
	a.sweepOn()
}

func (a *consumers) sweepOn() {
	if a.sweepReading || a.swept >= a.sweepTo {
		return
	}
	a.sweepReading = true
	self, life := a.self, a.life
	a.config.Queue.Tell(Fetch{
		After: a.swept,
		Limit: persistence.Limit{Records: readMessages, Bytes: readBytes},
		Reply: func(f Fetched, err error) { self.Tell(consumerFetched{life: life, sweep: true, answer: f, err: err}) },
	})
}

func (a *consumers) fetchedSweep(m consumerFetched) {
	a.sweepReading = false
	if m.err != nil {
		return // it goes on when the queue has opened its store again
	}
	for i := range m.answer.Records {
		r := &m.answer.Records[i]
		if r.Seq > a.sweepTo {
			break
		}
		if !a.needed(r.Seq, given{topic: r.Message.Topic, origin: r.Origin.Source}) {
			a.leftover(r.Seq)
		}
	}
	a.swept = m.answer.Through
	if a.sweepAnew {
		a.sweepAnew, a.swept = false, 0
	}
	a.sweepOn()
}
