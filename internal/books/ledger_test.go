package books

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// ledger is what a test knows of each message by itself, and what it finds wrong with
// what the queue says.
type ledger struct {
	wrong []string

	told    map[string]*letter // by payload
	numbers map[types.Seq]*letter
	highest types.Seq

	pending, dead, kept map[types.Seq]bool // at the last quiet moment
	left                map[types.Seq]reasons
	abandoned           map[types.Seq]reasons // given up, and leave so when their handshake is over
	status              types.QueueStatus
	at                  time.Time
	arrivals            int // that were looked at
	phase
}

// letter is a message that was published.
type letter struct {
	message types.Message
	since   time.Time
	state   answer
	numbers []types.Seq // that it had; a replay or a requeue gives it another
	arrived bool
}

// answer is what a publisher was told.
type answer int

const (
	waiting answer = iota
	accepted
	refused // it never came in
	unknown // it was on its way when something died
)

// rounding is how much ages are off, which are counted in whole milliseconds.
const rounding = 2 * time.Millisecond

// phase is what has happened since the last quiet moment.
type phase struct {
	cleared []types.Selection
	single  []types.Seq // cleared one by one
	sure    uint64      // cleared, as the answers say
	letters bool        // something was done to dead letters
	replays bool
	drops   bool // the queue drops at its limits
	maxAge  time.Duration
	linked  bool // there was a connection
	unsure  bool // the answer to something is not known
	power   bool // there was a power cut
	damaged string
}

// reasons is a set of types.Reason.
type reasons uint

// flew is not a reason: it may have been in flight when it was cleared, and have left
// when its handshake was over, which is not synced.
const flew reasons = 1 << types.Reasons

func only(r types.Reason) reasons { return 1 << r }

func newLedger(at time.Time) *ledger {
	return &ledger{
		told: map[string]*letter{}, numbers: map[types.Seq]*letter{}, pending: map[types.Seq]bool{}, dead: map[types.Seq]bool{},
		kept: map[types.Seq]bool{}, left: map[types.Seq]reasons{}, abandoned: map[types.Seq]reasons{}, at: at,
	}
}

func (l *ledger) says(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func id(m types.Message) string { name, _, _ := strings.Cut(string(m.Payload), " "); return name }

// numbered notes that a letter got a number, and no other one has it.
func (l *ledger) numbered(q types.Seq, x *letter) {
	switch had := l.numbers[q]; {
	case had == nil:
		l.numbers[q] = x
		x.numbers = append(x.numbers, q)
		l.highest = max(l.highest, q)
	case had != x:
		l.says("number %d was %s, and is %s", q, id(had.message), id(x.message))
	}
}

// answered notes what a publisher was told.
func (l *ledger) answered(x *letter, q types.Seq, err error, admitted bool) {
	switch {
	case err == nil:
		x.state = accepted
		l.numbered(q, x)
	case !admitted:
		x.state = refused
	default:
		x.state = unknown
		l.unsure = true
	}
}

// found is what a queue shows at a quiet moment.
type found struct {
	pending, dead, kept []persistence.Record
	status              types.QueueStatus
	arrived             []types.Message
	now                 time.Time
}

// audit compares what is found with the books, and takes it over.
func (l *ledger) audit(f found) {
	l.sums(f)
	pending, dead, kept := l.take("pending", f.pending), l.take("dead", f.dead), l.take("kept", f.kept)
	for q := range pending {
		if dead[q] || kept[q] {
			l.says("number %d is pending, and was sent or set aside", q)
		}
	}
	l.arrive(f.arrived[l.arrivals:])
	l.arrivals = len(f.arrived)

	if l.damaged != "" || l.power {
		l.restore(f, pending, dead)
	} else {
		l.compare(f, pending, dead, kept)
	}
	for q := range l.numbers { // number by number, what has left
		if !pending[q] && l.left[q] == 0 {
			l.left[q] = l.reasons(q, f.now, dead, kept)
		} else if pending[q] {
			delete(l.left, q)
		}
	}
	l.pending, l.dead, l.kept, l.status, l.at = pending, dead, kept, f.status, f.now
	l.phase = phase{}
}

// sums are what must be equal at every moment.
func (l *ledger) sums(f found) {
	s := f.status
	if sum := s.Sent + s.Dropped + s.Expired + s.Cleared + s.Dead + s.Quarantined + s.Pending; s.Accepted != sum {
		l.says("%d were accepted, the sum is %d: %+v", s.Accepted, sum, s)
	}
	by := uint64(0)
	for why, n := range s.DroppedBy {
		if by += n; why == "unclaimed" && n > l.status.DroppedBy[why] && l.damaged == "" && !l.power {
			l.says("%d were dropped because nobody wanted them: %v", n, s.DroppedBy)
		}
	}
	if by != s.Dropped {
		l.says("%d were dropped, by reason %v", s.Dropped, s.DroppedBy)
	}
	for _, x := range []struct {
		what  string
		says  uint64
		reads []persistence.Record
	}{{"pending", s.Pending, f.pending}, {"dead", s.DeadPending, f.dead}, {"kept", s.Kept, f.kept}} {
		if uint64(len(x.reads)) != x.says {
			l.says("%d are %s, %d can be read", x.says, x.what, len(x.reads))
		}
	}
}

// take reads records into a set of numbers.
func (l *ledger) take(what string, records []persistence.Record) map[types.Seq]bool {
	set, last := map[types.Seq]bool{}, types.Seq(0)
	for _, r := range records {
		x := l.told[id(r.Message)]
		if x == nil || x.state == refused || string(x.message.Payload) != string(r.Message.Payload) || x.message.Topic != r.Message.Topic {
			l.says("%s: number %d has what nobody has published, or was refused: %s %.40q", what, r.Seq, r.Message.Topic, r.Message.Payload)
			continue
		}
		if r.Seq <= last {
			l.says("%s: number %d comes behind %d", what, r.Seq, last)
		}
		set[r.Seq], last = true, r.Seq
		if r.Abandoned {
			l.abandoned[r.Seq] |= only(r.Why)
		}
		l.numbered(r.Seq, x)
	}
	return set
}

// arrive notes what has come to the broker.
func (l *ledger) arrive(list []types.Message) {
	for _, m := range list {
		x := l.told[id(m)]
		if x == nil || x.state == refused {
			l.says("%s %.40q was delivered, and nobody has published it, or it was refused", m.Topic, m.Payload)
			continue
		}
		x.arrived = true
		if l.damaged != "" || l.power || l.replays || l.letters || len(x.numbers) == 0 {
			continue
		}
		if !slices.ContainsFunc(x.numbers, func(q types.Seq) bool { return l.left[q] == 0 }) {
			l.says("%s, numbers %d, was delivered when it had left", id(m), x.numbers)
		}
	}
}

// reasons are those for which a message can have left that is not pending.
func (l *ledger) reasons(q types.Seq, now time.Time, dead, kept map[types.Seq]bool) (may reasons) {
	x := l.numbers[q]
	switch {
	case kept[q]:
		return only(types.Sent)
	case dead[q]:
		return only(types.Dead)
	}
	may = l.abandoned[q]
	if x.arrived || x.message.QoS == 0 && l.linked {
		may |= only(types.Sent)
	}
	if l.drops {
		may |= only(types.Dropped)
	}
	if age := now.Sub(x.since) + rounding; x.message.Expiry > 0 && age >= x.message.Expiry || l.maxAge > 0 && age >= l.maxAge {
		may |= only(types.Expired)
	}
	if slices.Contains(l.single, q) || slices.ContainsFunc(l.cleared, func(s types.Selection) bool { return s.Selects(x.message.Topic, x.since) }) {
		may |= only(types.Cleared)
	}
	if l.letters && l.linked {
		may |= only(types.Dead)
	}
	if l.damaged != "" {
		may |= only(types.Quarantined)
	}
	if may&only(types.Cleared) != 0 && l.linked && x.message.QoS == 2 {
		may |= flew
	}
	return may
}

// compare says whether each message that has left may have, and whether the counters
// have risen by no more and no less than that.
func (l *ledger) compare(f found, pending, dead, kept map[types.Seq]bool) {
	var least, most [types.Reasons]uint64
	gone := uint64(0)
	known := uint64(0) // numbers that were given out since
	account := func(may reasons) {
		gone++
		for r := range types.Reason(types.Reasons) {
			if may&only(r) != 0 {
				most[r]++
			}
			if may&^flew == only(r) {
				least[r]++
			}
		}
	}
	for q := range l.numbers {
		_, had := l.left[q]
		if !had && !l.pending[q] {
			known++
		}
		switch {
		case had && pending[q]:
			l.says("number %d had left, and is pending", q)
		case had && dead[q] && !l.dead[q]:
			l.says("number %d had left, and is a dead letter now", q)
		case had && kept[q] && !l.kept[q]:
			l.says("number %d had left, and is kept now", q)
		case had || pending[q]:
		default:
			may := l.reasons(q, f.now, dead, kept)
			if may == 0 {
				x := l.numbers[q]
				l.says("number %d, %s %s, %v old, expires after %v, QoS %d, is lost: nothing can have made it leave", q, x.message.Topic, id(x.message), f.now.Sub(x.since), x.message.Expiry, x.message.QoS)
			}
			account(may)
		}
	}
	for q := range l.dead {
		if !dead[q] && !l.letters {
			l.says("dead letter %d is gone", q)
		}
	}
	// What came and left unseen: it is replayed, put back, or nobody knows.
	came := f.status.Accepted - l.status.Accepted
	if f.status.Accepted < l.status.Accepted || came < known || came > known && !l.unsure && !l.replays && !l.letters {
		l.says("%d were accepted, before %d; %d came that are known of", f.status.Accepted, l.status.Accepted, known)
	}
	unseen := came - known
	before, after := left(l.status), left(f.status)
	for r := range types.Reason(types.Reasons) {
		if n := after[r] - before[r]; after[r] < before[r] || n < least[r] || n > most[r]+unseen {
			l.says("%d count as %s, before %d: it should be %d to %d more (%d unseen)", after[r], r, before[r], least[r], most[r]+unseen, unseen)
		}
	}
	if n := f.status.Cleared - l.status.Cleared; n < l.sure {
		l.says("%d were cleared, the answers said %d", n, l.sure)
	}
	if f.status.DuplicatesPossible && !l.status.DuplicatesPossible {
		l.says("duplicates are said to be possible, and nothing was damaged")
	}
}

func left(s types.QueueStatus) [types.Reasons]uint64 {
	return [types.Reasons]uint64{types.Sent: s.Sent, types.Dropped: s.Dropped, types.Expired: s.Expired, types.Cleared: s.Cleared, types.Dead: s.Dead, types.Quarantined: s.Quarantined}
}

// restore is for a queue whose store has lost something: what of that is right?
func (l *ledger) restore(f found, pending, dead map[types.Seq]bool) {
	doubt := f.status.DuplicatesPossible
	lost := uint64(0)
	for q := range l.pending {
		if !pending[q] && !dead[q] && l.reasons(q, f.now, nil, nil)&^(only(types.Quarantined)|flew) == 0 {
			if lost++; l.damaged == "" {
				l.says("number %d is lost by a power cut", q)
			}
		}
	}
	// Where the newest record of what was accepted is lost, too, nobody can count what is.
	forgotten := l.status.Accepted - min(l.status.Accepted, f.status.Accepted)
	// And what was set aside since counts as dead, though its letter is lost as well.
	setAside := f.status.Dead - min(l.status.Dead, f.status.Dead)
	for q := range dead {
		if !l.dead[q] {
			setAside -= min(setAside, 1)
		}
	}
	if n := f.status.Quarantined - min(l.status.Quarantined, f.status.Quarantined); n+forgotten+setAside < lost && !doubt {
		l.says("%d are lost by damage, %d count as quarantined, and no duplicates are said to be possible: %+v, before %+v", lost, n, f.status, l.status)
	}
	for q := range pending {
		may, had := l.left[q]
		switch {
		case !had:
		case l.damaged == "" && may&(only(types.Sent)|only(types.Expired)|flew) == 0:
			l.says("number %d is back by a power cut, and had left for %b", q, may)
		case l.damaged != "" && !doubt && !l.power:
			l.says("number %d is back by damage, had left %b, and no duplicates are said to be possible: %+v before %+v", q, may, f.status, l.status)
		}
	}
}

// sorted is a set in order.
func sorted(set map[types.Seq]bool) []types.Seq { return slices.Sorted(maps.Keys(set)) }
