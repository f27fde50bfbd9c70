package actors

import (
	"slices"
	"sort"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// packetIDs is how many packet ids messages share; those above are for
// SUBSCRIBE and the like [S3.1].
const packetIDs = 60000

// packetID is the id under which the message with this seq is sent.
func packetID(s types.Seq) uint16 { return uint16(s%packetIDs) + 1 }

// stage is how far a message in flight has come.
type stage uint8

const (
	published stage = iota // PUBLISH was handed to the link
	received               // PUBREC came (QoS 2)
	released               // the PUBREC is journalled and PUBREL was handed to the link (QoS 2)
	done                   // the other side has it; the store is not known to know
	free                   // nothing is left to do
)

// slot is a message in flight.
type slot struct {
	seq   types.Seq
	size  int
	qos   types.QoS
	stage stage

	reason   types.Reason // how it leaves when it is done
	accepted time.Time    // since when it waits
}

// window is what is in flight on a link: sent and not yet recorded as having
// left. It knows neither clock nor link. A message keeps its place until the
// queue has recorded its acknowledgement, so that after the death of the process
// no more than one window is sent again.
type window struct {
	count int   // most messages
	exact int   // most of them with QoS 2; 0: no bound of their own
	bytes int64 // most bytes; one message is always allowed

	slots   []slot // ascending seq; the first one is never free
	used    int    // slots that are not free
	used2   int    // of them with QoS 2
	size    int64  // their bytes
	open    int    // used slots whose acknowledgement is still to come
	unknown uint64 // acknowledgements of nothing that is in flight
}

// fits says whether a message can be sent now: there is room, and its packet id
// is not that of another one in flight.
func (w *window) fits(seq types.Seq, size int, qos types.QoS) bool {
	if w.used == 0 {
		return true
	}
	if qos == 2 && w.exact > 0 && w.used2 >= w.exact {
		return false
	}
	lowest, highest := min(seq, w.slots[0].seq), max(seq, w.slots[len(w.slots)-1].seq)
	return w.used < w.count && (w.bytes <= 0 || w.size+int64(size) <= w.bytes) && highest-lowest < packetIDs
}

// add takes in a message that is being sent and has no place yet.
func (w *window) add(seq types.Seq, size int, qos types.QoS, accepted time.Time) {
	w.put(slot{seq: seq, size: size, qos: qos, accepted: accepted})
}

// resume takes in a message whose handshake is finished by PUBREL, which is being
// sent, and that then leaves for that reason.
func (w *window) resume(seq types.Seq, size int, reason types.Reason, accepted time.Time) {
	w.put(slot{seq: seq, size: size, qos: 2, stage: released, reason: reason, accepted: accepted})
}

// leave takes in a message that has nothing to wait for: it leaves for that
// reason.
func (w *window) leave(seq types.Seq, size int, reason types.Reason) {
	w.put(slot{seq: seq, size: size, stage: done, reason: reason})
}

// put takes in a slot for a message that has none.
func (w *window) put(s slot) {
	if n := len(w.slots); n == 0 || w.slots[n-1].seq < s.seq { // the common case
		w.slots = append(w.slots, s)
	} else if i := w.search(s.seq); w.slots[i].seq == s.seq {
		w.slots[i] = s
	} else {
		w.slots = slices.Insert(w.slots, i, s)
	}
	w.used++
	if s.qos == 2 {
		w.used2++
	}
	if s.stage < done {
		w.open++
	}
	w.size += int64(s.size)
}

// answer is what an acknowledgement means for a message.
type answer uint8

const (
	nothing  answer = iota
	taken           // the broker has it: that is to be journalled, then PUBREL sent (QoS 2)
	finished        // nothing more is to come
)

// acked takes note of an acknowledgement, and says what it means for which
// message.
func (w *window) acked(a broker.Ack) (types.Seq, answer) {
	if a.ID == birthID || a.ID == closeID {
		return 0, nothing // nobody waits for these
	}
	s := w.byID(a.ID)
	switch {
	case s == nil:
	case a.Kind == broker.PubAck && s.qos == 1 && s.stage == published,
		a.Kind == broker.PubComp && s.qos == 2 && s.stage == released:
		w.finish(s, s.reason)
		return s.seq, finished
	case a.Kind == broker.PubRec && s.qos == 2 && s.stage == published:
		s.stage = received
		return s.seq, taken
	case a.Kind == broker.PubRec && s.qos == 2 && (s.stage == received || s.stage == released):
		return 0, nothing // repeated; PUBREL follows, or did
	}
	w.unknown++
	return 0, nothing
}

// releasing says that PUBREL is being sent for seq, whose PUBREC is journalled.
func (w *window) releasing(seq types.Seq) bool {
	s := w.bySeq(seq)
	if s == nil || s.stage != received {
		return false
	}
	s.stage = released
	return true
}

// written finishes the QoS 0 messages up to seq and adds them to into.
func (w *window) written(upTo types.Seq, into *persistence.Ranges) {
	for i := range w.slots {
		s := &w.slots[i]
		if s.seq > upTo {
			break
		}
		if s.qos == 0 && s.stage == published {
			w.finish(s, types.Sent)
			into.Add(persistence.Range{First: s.seq, Last: s.seq})
		}
	}
}

// withheld forgets a message that was not written after all, and says whether there
// was one.
func (w *window) withheld(seq types.Seq) bool {
	s := w.bySeq(seq)
	if s == nil || s.stage != published {
		return false
	}
	w.free(s)
	w.trim()
	return true
}

// refused finishes a message that the link cannot carry.
func (w *window) refused(seq types.Seq) {
	if s := w.bySeq(seq); s != nil && s.stage < done {
		w.finish(s, types.Dead)
	}
}

func (w *window) finish(s *slot, reason types.Reason) {
	s.stage, s.reason = done, reason
	w.open--
}

// settled frees what was recorded as having left.
func (w *window) settled(set persistence.Ranges) {
	for _, r := range set {
		for i := w.search(r.First); i < len(w.slots) && w.slots[i].seq <= r.Last; i++ {
			w.free(&w.slots[i])
		}
	}
	w.trim()
}

func (w *window) free(s *slot) {
	if s.stage == free {
		return
	}
	if s.stage < done {
		w.open--
	}
	s.stage = free
	w.used--
	if s.qos == 2 {
		w.used2--
	}
	w.size -= int64(s.size)
}

// trim drops free slots from the front. The others move there, so that the memory is
// used again and again.
func (w *window) trim() {
	n := 0
	for n < len(w.slots) && w.slots[n].stage == free {
		n++
	}
	if n > 0 {
		w.slots = w.slots[:copy(w.slots, w.slots[n:])]
	}
}

// linkLost forgets what was not acknowledged: it is fetched and sent again.
// What was acknowledged stays until it is recorded.
func (w *window) linkLost() {
	for i := range w.slots {
		if s := &w.slots[i]; s.stage < done {
			w.free(s)
		}
	}
	w.trim()
}

// unsettled is what was finished and is not known to be recorded.
func (w *window) unsettled() []persistence.Done {
	var list []persistence.Done
	for _, s := range w.slots {
		if s.stage == done {
			list = append(list, persistence.Done{Range: persistence.Range{First: s.seq, Last: s.seq}, Reason: s.reason})
		}
	}
	return list
}

// reasonOf is how a message leaves that is finished.
func (w *window) reasonOf(seq types.Seq) types.Reason {
	if s := w.bySeq(seq); s != nil {
		return s.reason
	}
	return types.Sent
}

// all is what holds a place.
func (w *window) all() persistence.Ranges {
	var set persistence.Ranges
	for _, s := range w.slots {
		if s.stage != free {
			set.Add(persistence.Range{First: s.seq, Last: s.seq})
		}
	}
	return set
}

// holds says whether seq has a place.
func (w *window) holds(seq types.Seq) bool {
	s := w.bySeq(seq)
	return s != nil && s.stage != free
}

func (w *window) search(seq types.Seq) int {
	return sort.Search(len(w.slots), func(i int) bool { return w.slots[i].seq >= seq })
}

func (w *window) bySeq(seq types.Seq) *slot {
	if i := w.search(seq); i < len(w.slots) && w.slots[i].seq == seq {
		return &w.slots[i]
	}
	return nil
}

// byID finds the message with this packet id: seqs in flight span less than
// packetIDs, so there is one at most.
func (w *window) byID(id uint16) *slot {
	if id == 0 || id > packetIDs || len(w.slots) == 0 {
		return nil
	}
	first := w.slots[0].seq
	seq := first + (types.Seq(id)-1+packetIDs-first%packetIDs)%packetIDs
	if s := w.bySeq(seq); s != nil && s.qos > 0 {
		return s
	}
	return nil
}
