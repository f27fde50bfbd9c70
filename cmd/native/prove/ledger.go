//go:build !js

package prove

import (
	"sync"

	"github.com/mqttdb/mqttdb/types"
)

// ledger records what was given to the gateway and what came out at the broker.
// It may be used concurrently.
type ledger struct {
	run     runID
	topic   string
	changed pulse // after whatever is recorded

	mu       sync.Mutex
	entries  []entry // by number
	acked    int     // entries that the gateway has acknowledged
	arrived  int     // that have come
	highest  int     // above all that have come
	settled  int     // below it nothing comes any more
	repeated int     // repetitions by the broker: to the subscriber, after a loss of its link
	damaged  int
	late     []int // came after one that was given later
}

// entry is one message.
type entry struct {
	sent    int // how often the gateway was given it
	arrived int
	acked   bool
}

func newLedger(run runID, topic string, messages int) *ledger {
	return &ledger{run: run, topic: topic, entries: make([]entry, messages)}
}

// given records that the gateway was sent a message, once more.
func (l *ledger) given(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[number].sent++
}

// acknowledged records that the gateway has acknowledged a message.
func (l *ledger) acknowledged(number int) {
	l.mu.Lock()
	if e := &l.entries[number]; !e.acked {
		e.acked = true
		l.acked++
	}
	l.mu.Unlock()
	l.changed.tell()
}

// delivered records what the subscriber got. again says that the broker says that
// it may have delivered that before. Of a payload of another kind than numbered it
// returns what it is.
func (l *ledger) delivered(m *types.Message, again bool) (kind, int) {
	k, number, err := parsePayload(l.run, m.Payload)
	if err == nil && m.Topic == l.topic && k != numbered {
		return k, number
	}
	l.mu.Lock()
	switch {
	case err != nil || m.Topic != l.topic || number < 0 || number >= len(l.entries):
		l.damaged++
	case again && l.entries[number].arrived > 0:
		l.repeated++
	default:
		l.arrive(number)
	}
	l.mu.Unlock()
	l.changed.tell()
	return numbered, number
}

func (l *ledger) arrive(number int) {
	e := &l.entries[number]
	if e.arrived++; e.arrived > 1 {
		return
	}
	l.arrived++
	if number < l.highest {
		l.late = append(l.late, number)
	}
	l.highest = max(l.highest, number+1)
}

// settle records that nothing below this number comes any more, for whatever
// would have has come.
func (l *ledger) settle(below int) {
	l.mu.Lock()
	l.settled = max(l.settled, below)
	l.mu.Unlock()
	l.changed.tell()
}

// standing is how far a run is.
type standing struct {
	acked, arrived int
	passed         int // below it nothing more is expected; what is missing there is lost
}

func (l *ledger) standing() standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return standing{acked: l.acked, arrived: l.arrived, passed: max(l.highest, l.settled)}
}

// unacknowledged is the first message that the gateway has not acknowledged.
func (l *ledger) unacknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range l.entries {
		if !l.entries[n].acked {
			return n
		}
	}
	return len(l.entries)
}

// judge says how it stands. What was not acknowledged may be missing.
func (l *ledger) judge() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := Verdict{Messages: len(l.entries), Acked: l.acked, Arrived: l.arrived, Damaged: l.damaged, RepeatedByBroker: l.repeated}
	for number := range l.entries {
		e := &l.entries[number]
		if e.acked && e.arrived == 0 {
			v.Lost.add(number)
		}
		if e.arrived > 1 {
			v.Doubled.add(number)
		}
		v.copies += max(0, e.arrived-1)
		v.allowedCopies += max(0, e.sent-1)
	}
	for _, number := range l.late {
		v.Reordered.add(number)
	}
	return v
}
