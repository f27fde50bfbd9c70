package actors

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// fixed are established consumers: "a:t/# b:u,v".
func fixed(text string) []Established {
	var list []Established
	for _, one := range strings.Fields(text) {
		name, filters, _ := strings.Cut(one, ":")
		e := Established{Name: name}
		for _, f := range strings.Split(filters, ",") {
			e.List = append(e.List, Subscription{Filter: f, QoS: 2})
		}
		list = append(list, e)
	}
	return list
}

func startEstablished(t testing.TB, s *testStore, list string) *desk {
	t.Helper()
	d := startDeskOf(t, s, ConsumersConfig{Established: fixed(list), Named: "named/"})
	d.ask(func(r Reply[Noted]) ConsumersMessage { return Establish{fixed(list), r} })
	return d
}

func (d *desk) ask(m func(Reply[Noted]) ConsumersMessage) {
	d.t.Helper()
	if _, err := Ask(soon(d.t), d.Ref, m); err != nil {
		d.t.Fatal(err)
	}
}

// consumers describes all of them: "a t/# 0 3" is behind by 3, with nothing open.
func (d *desk) list() []string {
	d.t.Helper()
	found, err := Ask(soon(d.t), d.Ref, func(r Reply[[]ConsumerStatus]) ConsumersMessage { return ListConsumers{r} })
	if err != nil {
		d.t.Fatal(err)
	}
	var list []string
	for _, c := range found {
		list = append(list, fmt.Sprint(c.Name, " ", strings.Join(c.Filters, ","), " ", c.Open, " ", c.Behind))
	}
	return list
}

func (d *desk) expect(want ...string) {
	d.t.Helper()
	if got := d.list(); !slices.Equal(got, want) {
		d.t.Errorf("consumers: %q, want %q", got, want)
	}
}

// S4.3: established consumers are there without anybody having joined, do not expire,
// and get what is stored since they were established, after a crash, too.
func TestEstablished(t *testing.T) {
	d := startEstablished(t, newTestStore(), "a:t/# b:u")
	mustPut(t, d.queue, "t/1", 3)
	mustPut(t, d.queue, "x", 1) // nobody's
	d.pending(3)
	d.expect("a t/# 0 4", "b u 0 4")
	d.store = &testStore{Store: d.store.Kill()}
	d = startEstablished(t, d.store, "a:t/# c:t/1") // b is gone, c comes
	d.expect("a t/# 0 4", "c t/1 0 0")
	mustPut(t, d.queue, "t/1", 1)
	r := newReceiver()
	token := d.join("a", r, 10).Token
	r.payloads(t, 4)
	d.acknowledge(token, 1, 2, 3, 5)
	d.pending(1) // c's
	if _, err := Ask(soon(t), d.Ref, func(r Reply[Joined]) ConsumersMessage {
		return Join{Name: "b", Receiver: newReceiver(), Messages: 1, Reply: r}
	}); err == nil {
		t.Error("one that is not established was joined")
	}
	if _, known := d.Subscriptions(); !known {
		t.Error("it is not known what named consumers there are")
	}
	d.subscribe(d.join("named/x", newReceiver(), 1).Token, 1, "n/#")
	if list, _ := d.Subscriptions(); len(list) != 1 || list[0].Filter != "n/#" {
		t.Errorf("named consumers have %v", list)
	}
	d.ask(func(r Reply[Noted]) ConsumersMessage { return Establish{fixed("a:t/#"), r} })
	d.pending(0)
	d.expect("a t/# 0 0", "named/x n/# 0 0")
}

// A consumer whose filters become narrower keeps what it had by the wider ones, as far
// as the narrower ones select that; a new filter counts from now on.
func TestEstablishedAnew(t *testing.T) {
	d := startEstablished(t, newTestStore(), "a:t/#")
	mustPut(t, d.queue, "t/1", 2)
	mustPut(t, d.queue, "t/2", 2)
	mustPut(t, d.queue, "u", 1)
	d.pending(4)
	d.ask(func(r Reply[Noted]) ConsumersMessage { return Establish{fixed("a:t/1,u"), r} })
	d.pending(2)
	mustPut(t, d.queue, "u", 1)
	d.pending(3)
	d.Kill()
	r := newReceiver()
	d.join("a", r, 10)
	r.payloads(t, 3)
}

// An established consumer that damage has taken the filters of gets all that is stored.
func TestEstablishedAfterDamage(t *testing.T) {
	d := startEstablished(t, newTestStore(), "a:t b:t")
	mustPut(t, d.queue, "t", 3)
	r := newReceiver()
	token := d.join("a", r, 10).Token
	r.payloads(t, 3)
	d.acknowledge(token, 1)
	d.stop()
	q, err := d.store.Open(t.Context(), "_local/outgoing")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Write(t.Context(), persistence.Commit{Marks: []persistence.Mark{{Key: ConsumerMark + "a", Value: []byte{9}}}}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = startEstablished(t, d.store, "a:t b:t")
	r = newReceiver()
	d.join("a", r, 10)
	r.payloads(t, 2)
}

// What a consumer cannot take is a dead letter as soon as all others have it, with the
// cause, wherever the process or the actor fails in between.
func TestLetters(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(*desk) *desk
	}{
		{"nothing happens", func(d *desk) *desk { return d }},
		{"the actor fails", func(d *desk) *desk { d.Kill(); return d }},
		{"the queue fails", func(d *desk) *desk { d.queue.Kill(); return d }},
		{"the process dies", func(d *desk) *desk {
			return startEstablished(d.t, &testStore{Store: d.store.Kill()}, "a:t b:t")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startEstablished(t, newTestStore(), "a:t b:t")
			mustPut(t, d.queue, "t", 4)
			r := newReceiver()
			token := d.join("a", r, 10).Token
			r.payloads(t, 4)
			d.ask(func(r Reply[Noted]) ConsumersMessage {
				return Acknowledge{Consumer: token, Done: []types.Seq{1, 4}, Dead: []Letter{{2, "too long"}, {3, ""}, {9, "is not there"}}, Reply: r}
			})
			d.pending(4)
			if d = c.fail(d); d.queue.Trouble() != nil {
				t.Fatal(d.queue.Trouble())
			}
			r = newReceiver()
			token = d.join("b", r, 10).Token
			r.payloads(t, 4)
			d.acknowledge(token, 1, 2, 3, 4)
			d.pending(0)
			f, err := Ask(soon(t), d.queue.Ref, func(r Reply[Fetched]) QueueMessage { return Fetch{Dead: true, Reply: r} })
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range f.Records {
				got = append(got, fmt.Sprint(l.Seq, " ", l.Cause))
			}
			if want := []string{"2 too long", "3 given up"}; !slices.Equal(got, want) {
				t.Errorf("dead letters: %q, want %q", got, want)
			}
			d.acknowledge(token)
			marks, err := Ask(soon(t), d.queue.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{lettersMark, r} })
			if err != nil || len(marks.List) > 0 {
				t.Errorf("what is done is remembered: %v, %v", marks.List, err)
			}
		})
	}
}

// There is a limit to what is remembered of letters; beyond it nothing is lost.
func TestLettersAreBounded(t *testing.T) {
	s, cause := letters{}, strings.Repeat("x", 2*persistence.MaxCause)
	n := types.Seq(0)
	for s.add(Letter{n + 1, cause}) {
		n++
	}
	if n < 1000 || len(s.mark().Value) > maxLetterBytes+64 {
		t.Errorf("%d letters in %d bytes", n, len(s.mark().Value))
	}
	again, err := readLetters(s.mark().Value)
	if err != nil || len(again.causes) != len(s.causes) || again.causes[n] != cause[:persistence.MaxCause] {
		t.Errorf("read again: %d, %v", len(again.causes), err)
	}
	for _, bad := range []string{"\x02", "\x01\x01", "\x01\x01\x09a"} {
		if _, err := readLetters([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// heap is where a pump of the tests stores.
type heap struct {
	*bell
	stored []string
	last   uint64
	room   int // for so many more
	told   func()
	errs   map[string]error // by payload
	joint  error            // of every load with more than one message
	handed []string
}

func (h *heap) store(list []types.Passage, room func()) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.cond.Broadcast()
	n := min(len(list), h.room)
	if h.room -= n; n < len(list) {
		h.told = room
	}
	var failed error
	for _, p := range list[:n] {
		err := h.errs[string(p.Message.Payload)]
		if n > 1 && h.joint != nil {
			err = h.joint
		}
		if failed == nil {
			failed = err
		}
		err = failed // nothing is stored behind what was not
		if err == nil && p.Origin.ID <= h.last {
			err = types.ErrRepeated
		}
		if err == nil {
			h.stored, h.last = append(h.stored, string(p.Message.Payload)), p.Origin.ID
		}
		go p.Done(err)
	}
	return n
}

func (h *heap) deliver(m types.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handed = append(h.handed, string(m.Payload))
	h.cond.Broadcast()
}

func (h *heap) set(f func()) {
	h.mu.Lock()
	f()
	told := h.told
	if h.room > 0 && told != nil {
		h.told = nil
		defer told()
	}
	h.mu.Unlock()
}

// A pump stores what its consumer gets in order and once, as there is room, tries again
// what fails, sets aside what is refused for good, and starts again when it fails.
func TestPump(t *testing.T) {
	d := startEstablished(t, newTestStore(), "a:t")
	h := &heap{bell: newBell(), room: 3, errs: map[string]error{"5": types.ErrTooLarge}}
	p, err := SpawnPump(d.sys, PumpConfig{
		Name: "a/to/a", Consumers: d.Consumers, Consumer: "a", Store: h.store, Deliver: h.deliver,
		ForGood: func(err error) bool { return err == types.ErrTooLarge }, RetryAfter: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, p.Ref)
	mustPut(t, d.queue, "t", 5)
	h.wait(t, "three, and the rest to wait", func() bool { return len(h.handed) == 3 && h.told != nil })
	h.set(func() { h.room = 1000 })
	d.pending(0)
	mustPut(t, d.queue, "t", 10) // one of them is refused
	d.pending(0)
	h.set(func() { h.errs["7"] = types.ErrBusy })
	mustPut(t, d.queue, "t", 10)
	h.wait(t, "what is before the one that fails", func() bool { return len(h.handed) >= 5+9+6 })
	p.Kill()
	h.set(func() { delete(h.errs, "7"); h.joint = types.ErrTooLarge }) // and every load is refused as a whole
	d.pending(0)
	want := slices.Concat(numbers(0, 5), numbers(0, 5), numbers(6, 4), numbers(0, 5), numbers(6, 4))
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.stored, want) || !slices.Equal(h.handed, want) {
		t.Errorf("stored %q and handed on %q, want %q", h.stored, h.handed, want)
	}
	if s := d.queue.Status(); s.Dead != 2 || s.Sent != 23 {
		t.Errorf("%d dead and %d sent, want 2 and 23", s.Dead, s.Sent)
	}
}
