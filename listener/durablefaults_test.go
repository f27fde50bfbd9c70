package listener

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// source publishes numbers in order, one after the other, each until it is
// acknowledged. Each attempt has a payload of its own.
type source struct {
	lane, number, attempt int // the last one
	acked                 int // numbers up to that are acknowledged
}

// pour publishes to h until it is stopped or, unless it is to be patient, the
// first error.
func (s *source) pour(h *house, stop <-chan struct{}, patient bool) {
	for {
		if s.acked == s.number {
			s.number, s.attempt = s.number+1, 0
		}
		s.attempt++
		m := types.Message{
			Topic: fmt.Sprintf("t/%d", s.lane), Payload: fmt.Appendf(nil, "%d %d %d", s.lane, s.number, s.attempt),
			QoS: types.QoS(1 + s.lane%2), Retain: s.lane >= 2,
		}
		done, room := make(chan error, 1), make(chan struct{}, 1)
		for !h.rt.Route(m, types.Origin{}, func(err error) { done <- err }, func() { room <- struct{}{} }) {
			select {
			case <-room:
			case <-stop:
				return
			}
		}
		select {
		case err := <-done:
			if err == nil {
				s.acked = s.number
			} else if !patient {
				return
			}
		case <-stop:
			return
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// pourAll lets all of them publish until stop is called, which returns when they
// have ended.
func pourAll(h *house, sources []*source, patient bool) (stop func()) {
	over := make(chan struct{})
	var running sync.WaitGroup
	for _, s := range sources {
		running.Go(func() { s.pour(h, over, patient) })
	}
	return func() {
		close(over)
		running.Wait()
	}
}

// recipient is a client with a session, whose memory outlives the gateway's.
type recipient struct {
	t        testing.TB
	id       string
	received map[uint16]string // QoS 2 ids without PUBREL
	stored   map[string]bool
	last     map[int]int         // lane → the highest number
	numbers  map[[2]int]struct{} // lane, number
	twice    int                 // at QoS 1
}

const shortVisit, longVisit = 60 * time.Millisecond, 2 * time.Second

func newRecipient(t testing.TB, id string) *recipient {
	return &recipient{t, id, map[uint16]string{}, map[string]bool{}, map[int]int{}, map[[2]int]struct{}{}, 0}
}

// visit comes to h, again and again as it is turned out and as it likes, for so long
// at most, until leave is called.
func (r *recipient) visit(h *house, rng *rand.Rand, longest time.Duration) (leave func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	over := make(chan struct{})
	first := len(r.numbers) == 0
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			rivals := r.rival(h, rng)
			c := dialRaw(r.t, h.server)
			c.version = []byte{mqtt311, mqtt5}[rng.IntN(2)]
			stay, gone := context.WithTimeout(ctx, 10*time.Millisecond+time.Duration(rng.Int64N(int64(longest))))
			stop := context.AfterFunc(stay, func() { c.Close() })
			c.Write(keptPacket(c.version, r.id, 1000))
			if rng.IntN(3) == 0 { // as some clients do
				for id := range r.received {
					c.Write(ackPacket(pubrecKind, id))
				}
			}
			if kind, body, err := c.tryRead(); err == nil && kind == 0x20 && body[1] == 0 {
				if body[0] == 0 && !first {
					r.t.Errorf("%s: the session is not there any more", r.id)
				}
				first = false
				r.attend(c)
			}
			stop()
			gone()
			c.Close()
			for _, rival := range rivals {
				rival.Close()
			}
		}
	}()
	return func() {
		cancel()
		<-over
	}
}

// rival connects now and then, several times at once, with the same client id, and
// never reads.
func (r *recipient) rival(h *house, rng *rand.Rand) []*rawClient {
	var all []*rawClient
	for range rng.IntN(5) / 4 * rng.IntN(10) {
		c := dialRaw(r.t, h.server)
		c.Write(keptPacket([]byte{mqtt311, mqtt5}[rng.IntN(2)], r.id, 1000))
		all = append(all, c)
	}
	return all
}

func (r *recipient) attend(c *rawClient) {
	for {
		first, body, err := c.tryRead()
		if err != nil {
			return
		}
		if first == 0x62 {
			id := binary.BigEndian.Uint16(body)
			delete(r.received, id)
			c.Write(ackPacket(pubcompKind, id))
			continue
		}
		if first>>4 != 3 { // a DISCONNECT of MQTT 5: another one has its place
			continue
		}
		body = body[2+int(binary.BigEndian.Uint16(body)):]
		id, body := binary.BigEndian.Uint16(body), body[2:]
		if c.version == mqtt5 {
			body = body[1:] // no properties
		}
		text := string(body)
		if first&6 == 2 {
			if r.stored[text] {
				r.twice++
			}
			r.take(text)
			c.Write(ackPacket(pubackKind, id))
			continue
		}
		before, known := r.received[id]
		switch {
		case known && before != text:
			r.t.Errorf("%s: packet id %d stands for %q and came as %q", r.id, id, before, text)
		case !known && r.stored[text]:
			r.t.Errorf("%s: %q came twice at QoS 2", r.id, text)
		}
		r.received[id] = text
		r.take(text)
		c.Write(ackPacket(pubrecKind, id))
	}
}

func (r *recipient) take(text string) {
	var lane, number, attempt int
	fmt.Sscan(text, &lane, &number, &attempt)
	r.stored[text] = true
	if _, known := r.numbers[[2]int{lane, number}]; !known && number < r.last[lane] {
		r.t.Errorf("%s: %q came after number %d", r.id, text, r.last[lane])
	}
	r.last[lane] = max(r.last[lane], number)
	r.numbers[[2]int{lane, number}] = struct{}{}
}

// holds checks that it got everything that was acknowledged to the sources.
func (r *recipient) holds(sources []*source) {
	r.t.Helper()
	total := 0
	for _, s := range sources {
		total += s.acked
		lost := 0
		for n := 1; n <= s.acked; n++ {
			if _, got := r.numbers[[2]int{s.lane, n}]; !got {
				lost++
			}
		}
		if lost > 0 {
			r.t.Errorf("%s misses %d of %d acknowledged messages of source %d", r.id, lost, s.acked, s.lane)
		}
	}
	if total == 0 { // a single source may not have come to it, on a busy machine
		r.t.Error("nothing was acknowledged")
	}
	r.t.Logf("%s: %d acknowledged, %d delivered, %d twice at QoS 1", r.id, total, len(r.numbers), r.twice)
}

// retains checks that what h has retained of the sources is what was acknowledged
// last, or newer.
func (h *house) retains(sources []*source) {
	h.t.Helper()
	for _, s := range sources {
		if s.lane < 2 || s.acked == 0 {
			continue
		}
		c := connectRaw(h.t, h.server, mqtt311, fmt.Sprint("late ", s.lane), "", 60)
		c.subscribe(fmt.Sprintf("t/%d", s.lane), 0)
		first, _, text, _ := c.take()
		var lane, number int
		fmt.Sscan(text, &lane, &number)
		if first&1 == 0 || lane != s.lane || number < s.acked {
			h.t.Errorf("%q is retained, with flags %x, and number %d of %d was acknowledged", text, first, s.acked, s.lane)
		}
		c.Close()
	}
}

// oftenCompacted has what is done with removed as often as can be.
func oftenCompacted(c *config.Config) { c.Local.CompactionInterval = time.Second }

// faultScene makes four sources, at QoS 1 and 2, retained and not, and two sessions.
func faultScene(t *testing.T, h *house) ([]*source, []*recipient) {
	sources := []*source{{lane: 0}, {lane: 1}, {lane: 2}, {lane: 3}}
	recipients := []*recipient{newRecipient(t, "one"), newRecipient(t, "two")}
	for i, r := range recipients {
		c := h.connectKept(r.id, false)
		c.subscribe("t/#", byte(1+i))
		h.hangUp(c)
	}
	return sources, recipients
}

// Guarantees 2 and 15: power loss. Under always nothing that was acknowledged is
// lost for a session, and what came at QoS 2 does not come again, whatever of that
// was not synced is gone; retained values do not go back to older ones.
func TestSessionsAndPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	store := faultstore.New(memory.New(memory.Options{SegmentSize: 16 << 10}))
	h := openHouse(t, store, oftenCompacted)
	sources, recipients := faultScene(t, h)
	for range 8 {
		stop := pourAll(h, sources, false)
		var leaves []func()
		for _, r := range recipients {
			if rng.IntN(4) > 0 {
				leaves = append(leaves, r.visit(h, rand.New(rand.NewPCG(rng.Uint64(), 0)), shortVisit))
			}
		}
		<-time.After(20*time.Millisecond + time.Duration(rng.Int64N(int64(100*time.Millisecond)))) // the cut comes at any moment
		store.Inject(faultstore.Fault{Op: faultstore.Open, Times: -1})                             // who is cut off stays that
		after, err := store.Crash(rng)
		if err != nil {
			t.Fatal(err)
		}
		stop()
		for _, leave := range leaves {
			leave()
		}
		h.end()
		store = after
		h = openHouse(t, store, oftenCompacted)
		h.retains(sources)
	}
	h.deliverAll(sources, recipients, rng)
}

// deliverAll lets the recipients come until nothing waits for them.
func (h *house) deliverAll(sources []*source, recipients []*recipient, rng *rand.Rand) {
	h.t.Helper()
	var leaves []func()
	for _, r := range recipients {
		leaves = append(leaves, r.visit(h, rand.New(rand.NewPCG(rng.Uint64(), 0)), longVisit))
	}
	h.pending(0)
	for i, r := range recipients {
		leaves[i]()
		r.holds(sources)
	}
}

// Guarantees 11 and 15: a store that fails now and then, before or after it did what
// it was to, and whose process is killed in the end: sessions go on by
// themselves, with all that was acknowledged, and nothing twice at QoS 2.
func TestSessionsAndAFailingStore(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	store := faultstore.New(memory.New(memory.Options{SegmentSize: 16 << 10}))
	h := openHouse(t, store, oftenCompacted)
	sources, recipients := faultScene(t, h)
	for round := range 3 {
		stop := pourAll(h, sources, true)
		var leaves []func()
		for _, r := range recipients {
			leaves = append(leaves, r.visit(h, rand.New(rand.NewPCG(rng.Uint64(), 0)), shortVisit))
		}
		op := []faultstore.Op{faultstore.Sync, faultstore.Write, faultstore.Read}[round]
		before := store.Calls(op)
		after := rng.IntN(30)
		store.Inject(faultstore.Fault{Op: op, After: after, Late: op == faultstore.Write})
		within := 10 * time.Second
		for end := time.Now().Add(within); store.Calls(op) <= before+after; <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%v was not called %d times", op, after)
			}
		}
		if round == 2 {
			crashed, err := store.Crash(nil)
			if err != nil {
				t.Fatal(err)
			}
			stop()
			for _, leave := range leaves {
				leave()
			}
			h.end()
			store = crashed
			h = openHouse(t, store, oftenCompacted)
			continue
		}
		goal := store.Calls(faultstore.Sync) + 30 // it works again
		for end := time.Now().Add(within); store.Calls(faultstore.Sync) < goal; <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("after %v failed nothing is stored any more: %+v", op, h.rt.Status())
			}
		}
		stop()
		for _, leave := range leaves {
			leave()
		}
	}
	h.deliverAll(sources, recipients, rng)
	h.retains(sources)
}
