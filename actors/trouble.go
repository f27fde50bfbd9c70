package actors

import (
	"errors"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	longestReopen = time.Minute
	// longestProbe is the wait before it is looked again whether a store that can be
	// read can be written, too, which costs next to nothing while it cannot.
	longestProbe = 15 * time.Second
)

// open opens the store; if that fails it is tried again later.
func (a *queue) open() {
	if a.kept != nil {
		if err := a.mayReopen(); err != nil {
			a.fail(a.storeError("open", err))
			return
		}
		a.letGo()
	}
	handle, err := a.config.Open(a.context())
	if err != nil {
		a.fail(a.storeError("open", err))
		return
	}
	s := handle.State()
	a.queue.claims.of(s.StoreID)
	a.handle, a.store, a.trouble, a.opened = handle, s.StoreID, nil, true
	a.committed, a.lastWritten = s.Next-1, s.Next-1
	a.floor = s.Floor
	a.safe, a.wanting = s.Next-1, false // a store that was opened has synced what it holds
	a.looked = false
	a.loadDrops()
	for _, err := range a.origins.load(handle) {
		a.config.Logger.Error("where a message came from cannot be read; it may be stored twice", "error", err)
	}
	for _, err := range a.importing.load(handle) {
		a.config.Logger.Error("what was imported cannot be read; it may be imported again", "error", err)
	}
	a.loadKept()
	if err := a.recordRemembered(); err != nil {
		a.fail(a.storeError("write to", err))
		return
	}
	a.publishHandle()
	if a.attempts > 0 {
		a.config.Logger.Info("the queue can store again")
	}
	a.attempts = 0
	a.tellOpened()
	a.beginAging()
	if s.CompactionDue { // each start adds to what is there
		<-a.watched // which takes no time
		a.config.Compactor.Tell(CompactNow{Queue: a.queue})
	}
	if r, ok := handle.(persistence.Roomy); ok {
		if err := r.Room(a.context()); persistence.Refused(err) {
			a.runShort(err)
		}
	}
	a.config.Changed()
}

func (a *queue) tellOpened() {
	a.supplying = supplying{hungry: true}
	a.connection.Tell(Opened{Store: a.store, Last: a.committed, Floor: a.floor, MaxAge: a.config.MaxAge})
}

// fail gives up the store: all who wait are answered with why, and until it was
// opened again nothing is taken. If why is a trouble of the store, and not the
// end of the role, that is tried after a while; what is stored is read meanwhile.
func (a *queue) fail(why error) { a.giveUp(why, true) }

// failRead gives up a store that cannot be read.
func (a *queue) failRead(why error) { a.giveUp(why, false) }

func (a *queue) giveUp(why error, readable bool) {
	var trouble *types.StoreError
	again := errors.As(why, &trouble)
	if again {
		a.trouble = trouble
		a.publishTrouble(trouble) // before the answers: who sends again at once must be refused (S2.1)
	}
	if a.timer != nil {
		a.timer()
		a.timer = nil
	}
	if handle := a.handle; handle != nil {
		a.handle = nil
		_ = a.awaitSyncs() // it makes no difference any more
		if again && readable {
			a.kept, a.uncertain = handle, a.doubts()
			a.noteLeft()
		} else {
			a.publishClosed(a.queue.State())
			if err := handle.Close(a.context()); err != nil && !again {
				a.config.Logger.Error("closing the queue failed", "error", err)
			}
		}
	} else if !again {
		a.letGo()
	}
	a.dirty, a.overdue = false, false
	if a.short != nil {
		a.short = nil
		a.publishShort()
	}
	a.stopAging()
	a.aging = aging{turn: a.turn}
	if a.kept == nil {
		a.forgetSettled()
	}
	a.forgetLapses()
	a.answerAll(why)
	a.endClearing(why)
	a.endReplaying(why)
	if !again {
		return
	}
	a.config.Changed()
	if !a.opened && a.config.Fatal(trouble) {
		return
	}
	longest := longestReopen
	if a.kept != nil {
		longest = longestProbe
	}
	wait := min(a.config.ReopenAfter<<min(a.attempts, 10), max(longest, a.config.ReopenAfter))
	a.attempts++
	a.config.Logger.Error("the queue cannot store", "error", trouble, "again_in", wait)
	due := reopen{a.life}
	a.config.Clock.AfterFunc(wait, func() { a.self.Tell(due) })
}

// storeError makes err one that names the queue.
func (a *queue) storeError(op string, err error) *types.StoreError {
	var known *types.StoreError
	if errors.As(err, &known) {
		return known
	}
	return &types.StoreError{Op: op, Queue: a.config.Name, Err: err}
}
