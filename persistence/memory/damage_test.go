package memory_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

const queueName = "plant/outgoing"

// damages is how many random damages TestRandomDamage tries.
const damages = 2000

// TestRandomDamage damages random histories, one or two places at a time and
// several times in the life of a store, and checks what nobody may lose by it.
func TestRandomDamage(t *testing.T) {
	n := 0
	for seed := uint64(0); n < damages; seed++ {
		h := newHistory(t, seed)
		for range 1 + h.r.IntN(5) {
			h.live()
			h.end()
			n += h.damage()
			h.reopen()
			h.checkDamaged()
		}
		h.drain()
	}
}

// history is a queue with what it was told, and may be damaged.
type history struct {
	t    *testing.T
	seed uint64
	r    *rand.Rand
	lazy bool

	store   *memory.Store
	q       persistence.Queue
	ever    map[types.Seq][]byte // payloads by number
	pending map[types.Seq]bool
	sent    map[types.Seq]bool // were sent, and are kept
	was     map[types.Seq]bool // were kept once
	next    types.Seq          // all numbers from here on were never given out
	what    []string           // was done to it since the last opening

	kept   map[types.Seq]bool // messages that a readable entry holds
	floor  types.Seq          // that a readable entry records
	killed bool
}

func newHistory(t *testing.T, seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 3))
	h := &history{t: t, seed: seed, r: r, lazy: r.IntN(3) == 0, ever: map[types.Seq][]byte{}, pending: map[types.Seq]bool{}, next: 1}
	h.sent, h.was = map[types.Seq]bool{}, map[types.Seq]bool{}
	h.store = memory.New(memory.Options{SegmentSize: 1 << (11 + r.IntN(4)), Journal: journal.Options{Lazy: h.lazy}})
	h.q = h.open()
	return h
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("seed %d, after %v: %s", h.seed, h.what, fmt.Sprintf(format, args...))
}

func (h *history) open() persistence.Queue {
	h.t.Helper()
	q, err := h.store.Open(h.t.Context(), queueName)
	if err != nil {
		h.fail("open: %v", err)
	}
	return q
}

// live lets the queue do some work.
func (h *history) live() {
	for range 5 + h.r.IntN(40) {
		var c persistence.Commit
		for range h.r.IntN(8) {
			payload := binary.LittleEndian.AppendUint64(make([]byte, h.r.IntN(120)), h.r.Uint64())
			if h.r.IntN(20) == 0 { // looks like an entry
				payload = append([]byte(nil), h.fake()...)
			}
			c.Messages = append(c.Messages, persistence.Entry{
				Message:  types.Message{Topic: fmt.Sprint("t/", h.r.IntN(3)), Payload: payload, QoS: 1},
				Enqueued: time.UnixMilli(h.r.Int64N(1 << 40)),
			})
		}
		if h.r.IntN(3) > 0 && len(h.pending) > 0 {
			first := h.somePending()
			last := first + types.Seq(h.r.IntN(6))
			d := persistence.Done{Range: persistence.Range{First: first, Last: last}, Reason: types.Reason(h.r.IntN(types.Reasons - 1))}
			d.Keep = d.Reason == types.Sent && h.r.IntN(4) > 0
			c.Done = append(c.Done, d)
		}
		if h.r.IntN(4) == 0 && len(h.sent) > 0 {
			first := slices.Min(slices.Collect(maps(h.sent))) + types.Seq(h.r.IntN(5))
			c.Lapsed.Add(persistence.Range{First: first, Last: first + types.Seq(h.r.IntN(9))})
		}
		first, err := h.q.Write(h.t.Context(), c)
		if err != nil {
			h.fail("write: %v", err)
		}
		for i, e := range c.Messages {
			seq := first + types.Seq(i)
			if _, twice := h.ever[seq]; twice || seq < h.next {
				h.fail("number %d was used before (next %d)", seq, h.next)
			}
			h.ever[seq], h.pending[seq] = e.Message.Payload, true
			h.next = seq + 1
		}
		for _, d := range c.Done {
			for seq := d.Range.First; seq <= d.Range.Last; seq++ {
				if d.Keep && h.pending[seq] {
					h.sent[seq], h.was[seq] = true, true
				}
				delete(h.pending, seq)
			}
		}
		for _, r := range c.Lapsed {
			for seq := r.First; seq <= r.Last; seq++ {
				delete(h.sent, seq)
			}
		}
		if n := h.q.State().Pending(); n != uint64(len(h.pending)) {
			h.fail("%d messages are pending, want %d (after %+v)", n, len(h.pending), c.Done)
		}
		if n := h.q.State().Kept; n != uint64(len(h.sent)) {
			h.fail("%d messages are kept, want %d (after %+v, %v)", n, len(h.sent), c.Done, c.Lapsed)
		}
		switch h.r.IntN(8) {
		case 0:
			h.compact(1)
		case 1:
			if err := h.q.Sync(h.t.Context()); err != nil {
				h.fail("sync: %v", err)
			}
		}
	}
}

// somePending returns the number of a pending message, mostly an old one.
func (h *history) somePending() types.Seq {
	all := slices.Sorted(maps(h.pending))
	if h.r.IntN(3) > 0 {
		return all[0]
	}
	return all[h.r.IntN(len(all))]
}

// fake is an entry of this very store, as somebody who knows it would forge it.
func (h *history) fake() []byte {
	var e persistence.Encoder
	return e.Encode(&persistence.Batch{
		LSN: h.r.Uint64N(1 << 20), Store: h.q.State().StoreID, Kind: persistence.KindBatch, First: 1, Last: 1,
		Records: []persistence.Record{{Seq: 1, Entry: persistence.Entry{Message: types.Message{Topic: "forged"}, Enqueued: time.UnixMilli(1)}}},
	})
}

func (h *history) compact(steps int) {
	for range steps {
		did, err := h.q.(persistence.Compacter).Compact(h.t.Context(), 4<<10)
		if err != nil {
			h.fail("compact: %v", err)
		}
		if !did.More {
			return
		}
	}
}

// end closes the queue, or kills its process.
func (h *history) end() {
	h.killed = h.r.IntN(2) == 0
	if !h.killed {
		if err := h.q.Close(h.t.Context()); err != nil {
			h.fail("close: %v", err)
		}
	}
	h.store = h.store.Kill()
}

// damage damages one or two places and returns how many.
func (h *history) damage() int {
	t := h.store.Tamper(queueName)
	h.what = nil
	if h.killed {
		h.what = append(h.what, "kill")
	}
	n := 1 + h.r.IntN(6)/5
	for range n {
		entries, segments := t.Entries(), t.Segments()
		if len(entries) == 0 {
			break
		}
		i := h.r.IntN(len(entries))
		if h.r.IntN(3) == 0 { // what was written last is of more interest
			i = len(entries) - 1 - h.r.IntN(min(4, len(entries)))
		}
		segment := segments[h.r.IntN(len(segments))]
		if h.r.IntN(3) == 0 {
			segment = segments[len(segments)-1]
		}
		bit := h.r.IntN(8 * len(entries[i].Value))
		kind := []string{"flip seen", "flip hidden", "flip silent", "lose", "lose segment", "cut segment",
			"swap segments", "copy segment", "foreign entry", "foreign value", "recall", "record", "misplaced"}[h.r.IntN(13)]
		if kind == "swap segments" && n > 1 {
			kind = "lose" // swapped and then lost leaves no trace at all
		}
		h.what = append(h.what, fmt.Sprintf("%s %d/%d in %d", kind, i, len(entries), segment))
		switch kind {
		case "flip seen":
			t.FlipSeen(i, bit)
		case "flip hidden":
			t.FlipHidden(i, bit)
		case "flip silent":
			t.FlipSilent(i, bit)
		case "lose":
			t.Lose(i)
		case "lose segment":
			t.LoseSegment(segment)
		case "cut segment":
			t.CutSegment(segment, h.r.IntN(4))
		case "swap segments":
			t.SwapSegments(segment, segments[h.r.IntN(len(segments))])
		case "copy segment":
			t.CopySegment(segment)
		case "foreign entry":
			key, value := h.foreign()
			t.Add(segment, key, value)
		case "foreign value":
			_, value := h.foreign()
			t.Replace(i, value)
		case "recall":
			t.Recall()
		case "record":
			record := t.Record()
			record[bit/8%len(record)] ^= 1
			t.SetRecord(record)
		case "misplaced": // an entry of ours under another key
			t.Add(segment, entries[len(entries)-1].Key+uint64(h.r.IntN(20)), entries[i].Value)
		}
	}
	h.readable(t)
	return n
}

// foreign is an entry of another store, whose keys may well come up here.
func (h *history) foreign() (key uint64, value []byte) {
	var e persistence.Encoder
	key = h.r.Uint64N(400) + 1
	return key, e.Encode(&persistence.Batch{LSN: key, Store: persistence.StoreID{0xbd}, Kind: persistence.KindBatch,
		First: 1, Last: 1, Records: []persistence.Record{{Seq: 1, Entry: persistence.Entry{Message: types.Message{Topic: "foreign"}}}}})
}

// readable finds out what can still be read of a damaged store, without the
// journal: the messages, and the highest floor.
func (h *history) readable(t *memory.Tamper) {
	h.kept, h.floor = map[types.Seq]bool{}, 0
	store := h.q.State().StoreID
	bad := map[uint64]bool{} // of two copies of an entry only one is looked at
	for _, e := range t.Entries() {
		bad[e.Key] = bad[e.Key] || e.Gone
	}
	for _, e := range t.Entries() {
		b, err := persistence.Decode(slices.Clone(e.Value))
		if err != nil || bad[e.Key] || b.Store != store || b.LSN != e.Key {
			continue
		}
		for _, r := range b.Records {
			h.kept[r.Seq] = true
		}
		if b.Delta != nil {
			h.floor = max(h.floor, b.Delta.Floor)
		}
	}
}

func (h *history) reopen() { h.q = h.open() }

func (h *history) read() []persistence.Record {
	h.t.Helper()
	records, err := h.q.Read(h.t.Context(), nil, 0, persistence.Limit{})
	if err != nil {
		h.fail("read: %v", err)
	}
	return records
}

func (h *history) readSent() []persistence.Record {
	h.t.Helper()
	records, err := h.q.(persistence.SentReader).ReadSent(h.t.Context(), nil, 0, persistence.Limit{})
	if err != nil {
		h.fail("read what was sent: %v", err)
	}
	return records
}

// checkSent checks what is kept of what was sent, and takes it over.
func (h *history) checkSent() {
	records := h.readSent()
	st := h.q.State()
	// Something may be missing of what the queue was told: it says so, unless nothing
	// is pending that could be delivered again.
	doubt := st.DuplicatesPossible || st.Floor == st.Next-1
	got := map[types.Seq]bool{}
	for _, r := range records {
		got[r.Seq] = true
		switch payload, known := h.ever[r.Seq]; {
		case !known || string(payload) != string(r.Message.Payload):
			h.fail("kept message %d has a wrong payload", r.Seq)
		case h.pending[r.Seq]:
			h.fail("message %d is pending, and kept as sent", r.Seq)
		case !h.was[r.Seq]:
			h.fail("message %d is kept, and never was", r.Seq)
		case !h.sent[r.Seq] && !doubt:
			h.fail("message %d has lapsed and is kept again, and the state does not say that acknowledgements are lost", r.Seq)
		}
	}
	for seq := range h.sent {
		if !got[seq] && h.kept[seq] && !doubt {
			h.fail("message %d is in an undamaged batch and is kept no longer", seq)
		}
	}
	if st.Kept != uint64(len(records)) {
		h.fail("%d messages are kept, %d can be read", st.Kept, len(records))
	}
	h.sent = got
}

// checkDamaged checks the queue after it was damaged and opened, and takes over
// what it says.
func (h *history) checkDamaged() {
	records := h.read()
	st := h.q.State()
	got := map[types.Seq]bool{}
	back := 0
	for _, r := range records {
		got[r.Seq] = true
		payload, known := h.ever[r.Seq]
		if !known || string(payload) != string(r.Message.Payload) {
			h.fail("message %d has a wrong payload", r.Seq)
		}
		if !h.pending[r.Seq] {
			back++
		}
		if r.Seq <= h.floor {
			h.fail("message %d is back, but a readable entry says that all up to %d are done", r.Seq, h.floor)
		}
	}
	if back > 0 && !st.DuplicatesPossible {
		h.fail("%d messages that were done are back, and the state does not say so", back)
	}
	for seq := range h.pending {
		if !got[seq] && h.kept[seq] {
			h.fail("message %d is in an undamaged batch and is lost", seq)
		}
	}
	sum := st.Pending()
	for _, n := range st.Counters.Left {
		sum += n
	}
	if st.Counters.Accepted != sum || st.Pending() != uint64(len(records)) {
		h.fail("the books do not balance: %+v, %d pending, %d can be read", st.Counters, st.Pending(), len(records))
	}
	// What the queue says is what counts from here on.
	h.pending = got
	h.next = st.Next
	h.checkSent()

	// It says the same after another start, clean or not, and after compaction.
	if h.r.IntN(2) == 0 {
		h.compact(1000)
	}
	h.killed = h.r.IntN(2) == 0
	if !h.killed {
		if err := h.q.Close(h.t.Context()); err != nil {
			h.fail("close: %v", err)
		}
	}
	h.store = h.store.Kill()
	h.reopen()
	again := h.q.State()
	if n := len(h.read()); n != len(records) {
		h.fail("%d messages were pending, after another start %d are", len(records), n)
	}
	if n := len(h.readSent()); n != len(h.sent) {
		h.fail("%d messages were kept, after another start %d are", len(h.sent), n)
	}
	if again.DuplicatesPossible != st.DuplicatesPossible || again.Counters != st.Counters {
		h.fail("after another start duplicates possible is %t, counters %+v; it was %t, %+v",
			again.DuplicatesPossible, again.Counters, st.DuplicatesPossible, st.Counters)
	}
	h.next = again.Next
}

// drain finishes all messages: the floor rises to the end, the flag goes and
// compaction gives everything back.
func (h *history) drain() {
	h.what = append(h.what, "drain")
	for _, r := range h.read() {
		if _, err := h.q.Write(h.t.Context(), persistence.Commit{Done: []persistence.Done{{Range: persistence.Range{First: r.Seq, Last: r.Seq}}}}); err != nil {
			h.fail("write: %v", err)
		}
	}
	if _, err := h.q.Write(h.t.Context(), persistence.Commit{Lapsed: persistence.Ranges{{First: 1, Last: h.next}}}); err != nil {
		h.fail("write: %v", err)
	}
	st := h.q.State()
	if st.Kept != 0 || st.KeptBytes != 0 {
		h.fail("after all has lapsed %d messages are kept, %d bytes", st.Kept, st.KeptBytes)
	}
	if st.Pending() != 0 || st.Floor != st.Next-1 || st.DuplicatesPossible {
		h.fail("after all was done: %d pending, floor %d, next %d, duplicates possible %t", st.Pending(), st.Floor, st.Next, st.DuplicatesPossible)
	}
	for i := 0; ; i++ {
		did, err := h.q.(persistence.Compacter).Compact(h.t.Context(), 1<<20)
		if err != nil {
			h.fail("compact: %v", err)
		}
		if !did.More {
			break
		}
		if i == 1000 {
			h.fail("compaction does not end")
		}
	}
	if err := h.q.Close(h.t.Context()); err != nil {
		h.fail("close: %v", err)
	}
}

// maps yields the keys of a set.
func maps(set map[types.Seq]bool) func(func(types.Seq) bool) {
	return func(yield func(types.Seq) bool) {
		for seq := range set {
			if !yield(seq) {
				return
			}
		}
	}
}
