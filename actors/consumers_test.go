package actors

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// testReceiver collects what a consumer is given.
type testReceiver struct {
	*bell
	got     []Delivery // guarded by the bell's lock
	sent    int        // of them, so many have left
	through types.Seq
	ended   error
}

func newReceiver() *testReceiver { return &testReceiver{bell: newBell()} }

func (r *testReceiver) Deliver(list []Delivery, through types.Seq) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.through = append(r.got, list...), through
	r.cond.Broadcast()
}

func (r *testReceiver) Recall() types.Seq {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent == len(r.got) {
		return all
	}
	r.got = r.got[:r.sent]
	return r.last()
}

// last is the number of the last message that has left.
func (r *testReceiver) last() types.Seq {
	if r.sent == 0 {
		return 0
	}
	return r.got[r.sent-1].Seq
}

func (r *testReceiver) Ended(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = why
	r.cond.Broadcast()
}

// payloads waits for n messages and returns what is in them.
func (r *testReceiver) payloads(t testing.TB, n int) []string {
	t.Helper()
	r.wait(t, fmt.Sprintf("%d messages", n), func() bool { return len(r.got) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, d := range r.got {
		list = append(list, string(d.Message.Payload))
	}
	return list
}

// desk is a queue with its consumers.
type desk struct {
	t     testing.TB
	sys   *System
	store *testStore
	queue *Queue
	*Consumers
	once sync.Once
}

func startDesk(t testing.TB, s *testStore, clock Clock) *desk {
	t.Helper()
	return startDeskOf(t, s, ConsumersConfig{Clock: clock})
}

// startDeskOf is startDesk with more of a configuration.
func startDeskOf(t testing.TB, s *testStore, c ConsumersConfig) *desk {
	t.Helper()
	d := &desk{t: t, sys: newTestSystem(t), store: s}
	var err error
	d.queue, err = SpawnQueue(d.sys, QueueConfig{Name: "_local/outgoing", Open: s.opener("_local/outgoing"), ReopenAfter: 2 * time.Millisecond, Clock: c.Clock})
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Queue = "_local/consumers", d.queue
	d.Consumers, err = SpawnConsumers(d.sys, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	return d
}

func (d *desk) stop() {
	d.once.Do(func() {
		stop(d.t, d.Consumers.Ref)
		stop(d.t, d.queue.Ref)
	})
}

func (d *desk) join(name string, r Receiver, messages int) Joined {
	d.t.Helper()
	j, err := Ask(soon(d.t), d.Ref, func(reply Reply[Joined]) ConsumersMessage {
		return Join{Name: name, Expiry: time.Hour, Receiver: r, Messages: messages, Bytes: 1 << 20, Reply: reply}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return j
}

func (d *desk) subscribe(token Token, qos types.QoS, filters ...string) {
	d.t.Helper()
	var list []Subscription
	for _, f := range filters {
		list = append(list, Subscription{Filter: f, QoS: qos})
	}
	if _, err := Ask(soon(d.t), d.Ref, func(r Reply[[]bool]) ConsumersMessage { return Subscribe{token, list, r} }); err != nil {
		d.t.Fatal(err)
	}
}

// acknowledge returns when it is recorded.
func (d *desk) acknowledge(token Token, seqs ...types.Seq) {
	d.t.Helper()
	if _, err := Ask(soon(d.t), d.Ref, func(r Reply[Noted]) ConsumersMessage {
		return Acknowledge{Consumer: token, Done: seqs, Reply: r}
	}); err != nil {
		d.t.Fatal(err)
	}
}

// settled waits until the queue has so many pending messages.
func (d *desk) pending(n uint64) {
	d.t.Helper()
	for end := time.Now().Add(testPatience); ; {
		if d.queue.Status().Pending == n {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("%d are pending, want %d", d.queue.Status().Pending, n)
		}
		d.acknowledge(d.join("named/probe", newReceiver(), 1).Token)
		if _, err := Ask(soon(d.t), d.Ref, func(r Reply[bool]) ConsumersMessage { return Remove{"named/probe", r} }); err != nil {
			d.t.Fatal(err)
		}
	}
}

func numbers(from, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(from+i))
	}
	return list
}

// A message leaves when all to whom it belongs have acknowledged it.
func TestAMessageLeavesWhenAllHaveIt(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	a, b := newReceiver(), newReceiver()
	ta, tb := d.join("a", a, 10).Token, d.join("b", b, 10).Token
	d.subscribe(ta, 1, "t/#", "t/1")
	d.subscribe(tb, 1, "t/1")
	mustPut(t, d.queue, "t/1", 3)
	mustPut(t, d.queue, "t/2", 2)
	mustPut(t, d.queue, "u", 1) // nobody's
	if got := a.payloads(t, 5); !slices.Equal(got, []string{"0", "1", "2", "0", "1"}) {
		t.Errorf("a got %v", got)
	}
	if got := b.payloads(t, 3); !slices.Equal(got, numbers(0, 3)) {
		t.Errorf("b got %v", got)
	}
	d.pending(5)
	d.acknowledge(ta, 1, 2, 4)
	d.pending(4)
	d.acknowledge(tb, 2, 3)
	d.pending(3)
	d.acknowledge(tb, 1)
	d.acknowledge(ta, 3, 5)
	d.pending(0)
	if st := d.queue.Status(); st.Sent != 5 || st.Dropped != 1 {
		t.Errorf("%d sent and %d dropped, want 5 and 1", st.Sent, st.Dropped)
	}
}

// A consumer that was away gets all that came meanwhile, in pieces, in order,
// after what it had not acknowledged.
func TestWhatCameMeanwhile(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	r := newReceiver()
	token := d.join("a", r, 10).Token
	d.subscribe(token, 2, "t")
	mustPut(t, d.queue, "t", 5)
	r.payloads(t, 5)
	d.acknowledge(token, 1, 3)
	d.Tell(Leave{Consumer: token, Last: 4})
	for i := range 200 { // others' and its own
		mustPut(t, d.queue, []string{"t", "u"}[i%2], 1)
	}
	r = newReceiver()
	j := d.join("a", r, 10)
	if !j.Present || len(j.Subscriptions) != 1 {
		t.Fatalf("joined %+v", j)
	}
	for got := 0; got < 103; {
		r.payloads(t, got+1)
		r.mu.Lock()
		var done []types.Seq
		if len(r.got)-got > 10 {
			t.Errorf("%d at once", len(r.got)-got)
		}
		for ; got < len(r.got); got++ {
			done = append(done, r.got[got].Seq)
			if want := r.got[got].Seq <= 4; r.got[got].Redelivered != want {
				t.Errorf("message %d: redelivered is not %v", r.got[got].Seq, want)
			}
		}
		r.mu.Unlock()
		d.acknowledge(j.Token, done...)
	}
	var seqs []types.Seq
	for _, g := range r.got {
		seqs = append(seqs, g.Seq)
	}
	if !slices.IsSorted(seqs) || !slices.Equal(seqs[:3], []types.Seq{2, 4, 5}) {
		t.Errorf("in the order %v", seqs)
	}
	d.pending(0)
}

// What belongs to nobody any more leaves: when its consumer ends, loses the
// subscription, or expires.
func TestWhatBelongsToNobodyLeaves(t *testing.T) {
	clock := newTestClock()
	d := startDesk(t, newTestStore(), clock)
	tokens := map[string]Token{}
	for _, name := range []string{"stays", "goes", "narrows", "expires"} {
		tokens[name] = d.join(name, newReceiver(), 1).Token
		d.subscribe(tokens[name], 1, name)
		mustPut(t, d.queue, name, 3)
	}
	d.pending(12)
	if _, err := Ask(soon(t), d.Ref, func(r Reply[bool]) ConsumersMessage { return Remove{"goes", r} }); err != nil {
		t.Fatal(err)
	}
	d.pending(9)
	if _, err := Ask(soon(t), d.Ref, func(r Reply[[]bool]) ConsumersMessage {
		return Unsubscribe{tokens["narrows"], []string{"narrows"}, r}
	}); err != nil {
		t.Fatal(err)
	}
	d.pending(7) // one was given, and is to be finished
	d.acknowledge(tokens["narrows"], 7)
	d.pending(6)
	d.Tell(Leave{Consumer: tokens["expires"], Last: all})
	d.acknowledge(tokens["stays"])
	clock.advance(time.Hour - time.Second)
	d.pending(6)
	clock.advance(time.Second)
	d.pending(3)
	if n := d.Count(); n != 2 {
		t.Errorf("%d consumers are left, want 2", n)
	}
	if d.Wants("goes") || d.Wants("narrows") || d.Wants("expires") || !d.Wants("stays") {
		t.Error("the index does not say what there is")
	}
}

// What the actor knows outlives its failure, and that of the process.
func TestConsumersAreRestored(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	r := newReceiver()
	token := d.join("a", r, 4).Token
	d.subscribe(token, 1, "t")
	mustPut(t, d.queue, "t", 6)
	r.payloads(t, 4)
	if _, err := Ask(soon(t), d.Ref, func(reply Reply[Noted]) ConsumersMessage {
		return Acknowledge{Consumer: token, Done: []types.Seq{2}, State: []byte("state"), Reply: reply}
	}); err != nil {
		t.Fatal(err)
	}
	d.Kill()
	r.wait(t, "the end", func() bool { return r.ended != nil })
	for _, how := range []string{"a failure", "kill -9"} {
		r = newReceiver()
		j := d.join("a", r, 10)
		if !j.Present || string(j.State) != "state" || len(j.Subscriptions) != 1 {
			t.Fatalf("after %s: %+v", how, j)
		}
		if got := r.payloads(t, 5); !slices.Equal(got, []string{"0", "2", "3", "4", "5"}) {
			t.Errorf("after %s: %v", how, got)
		}
		for _, g := range r.got {
			if !g.Redelivered {
				t.Errorf("after %s: message %d may have been delivered", how, g.Seq)
			}
		}
		after := &testStore{Store: d.store.Kill()}
		d.store.set(func(s *testStore) { s.onOpen = func() error { return types.ErrInUse } })
		d = startDesk(t, after, nil)
	}
}

// Clearing takes what was delivered and has not left out of the receiver's hands.
func TestClearRecalls(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	r := newReceiver()
	token := d.join("a", r, 10).Token
	d.subscribe(token, 1, "t")
	mustPut(t, d.queue, "t", 5)
	r.payloads(t, 5)
	r.mu.Lock()
	r.sent = 2
	r.mu.Unlock()
	if n, err := Ask(soon(t), d.queue.Ref, func(reply Reply[Cleared]) QueueMessage { return Clear{Reply: reply} }); err != nil || n.Count != 5 {
		t.Fatalf("cleared %v, %v", n, err)
	}
	d.acknowledge(token, 1)
	mustPut(t, d.queue, "t", 2)
	if got := r.payloads(t, 4); !slices.Equal(got, []string{"0", "1", "0", "1"}) {
		t.Errorf("got %v", got)
	}
	d.acknowledge(token, 2, 6, 7)
	d.pending(0)
	if st := d.queue.Status(); st.Cleared != 5 || st.Sent != 2 {
		t.Errorf("status %+v", st)
	}
}

// What a receiver forgets for the sake of a clearing comes again, in order, also
// what it had been given before it joined.
func TestWhatARecallTookBackComesAgain(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	r := newReceiver()
	token := d.join("a", r, 10).Token
	d.subscribe(token, 1, "t")
	mustPut(t, d.queue, "t", 5)
	r.payloads(t, 5)
	d.Tell(Leave{Consumer: token, Last: all})
	r = newReceiver()
	token = d.join("a", r, 10).Token
	r.payloads(t, 5)
	r.mu.Lock()
	r.sent = 2
	r.mu.Unlock()
	d.clear("nothing")
	mustPut(t, d.queue, "t", 1)
	if got := r.payloads(t, 6); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "0"}) {
		t.Errorf("got %v", got)
	}
	d.acknowledge(token, 1, 2, 3, 4, 5, 6)
	d.pending(0)
}

// S3.5: nor is anything passed over that a receiver has forgotten while more was
// being fetched for it.
func TestARecallMeetsAFetch(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	a, b := newReceiver(), &slowReceiver{testReceiver: newReceiver(), entered: make(chan struct{}), leave: make(chan struct{})}
	ta := d.join("a", a, 4).Token
	d.subscribe(ta, 1, "t")
	d.subscribe(d.join("b", b, 4).Token, 1, "u")
	mustPut(t, d.queue, "t", 20)
	a.payloads(t, 4)
	a.mu.Lock()
	a.sent = 1
	a.mu.Unlock()
	mustPut(t, d.queue, "u", 1)
	<-b.entered // the actor is busy; this waits for it:
	d.Tell(Acknowledge{Consumer: ta, Done: []types.Seq{1}})
	cleared := make(chan error, 1)
	d.queue.Tell(Clear{Filter: "nothing", Reply: func(_ Cleared, err error) { cleared <- err }})
	if _, err := Ask(soon(t), d.queue.Ref, func(r Reply[types.QueueStatus]) QueueMessage { return Describe{r} }); err != nil {
		t.Fatal(err)
	}
	close(b.leave)
	if err := <-cleared; err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 20; n++ {
		a.payloads(t, n+1)
		a.mu.Lock()
		got := a.got[n].Seq
		a.sent = n + 1
		a.mu.Unlock()
		if got != types.Seq(n+1) {
			t.Fatalf("number %d came after %d", got, n)
		}
		d.acknowledge(ta, got)
	}
	d.pending(1)
}

// slowReceiver keeps the actor from what it has to do, which a receiver must not.
type slowReceiver struct {
	*testReceiver
	once           sync.Once
	entered, leave chan struct{}
}

func (r *slowReceiver) Deliver(list []Delivery, through types.Seq) {
	if len(list) > 0 {
		r.once.Do(func() { close(r.entered) })
		<-r.leave
	}
	r.testReceiver.Deliver(list, through)
}

// clear removes what lies under topics that filter selects.
func (d *desk) clear(filter string) {
	d.t.Helper()
	if _, err := Ask(soon(d.t), d.queue.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Filter: filter, Reply: r} }); err != nil {
		d.t.Fatal(err)
	}
}

// What was acknowledged of a store that was replaced is not taken for a message
// of the one that took its place.
func TestConsumersOfAStoreThatWasReplaced(t *testing.T) {
	s := newTestStore()
	d := startDesk(t, s, nil)
	a, b := newReceiver(), &slowReceiver{testReceiver: newReceiver(), entered: make(chan struct{}), leave: make(chan struct{})}
	ta := d.join("a", a, 4).Token
	d.subscribe(ta, 1, "t")
	d.subscribe(d.join("b", b, 4).Token, 1, "u")
	mustPut(t, d.queue, "t", 3)
	a.payloads(t, 3)
	mustPut(t, d.queue, "u", 1)
	<-b.entered // the actor is busy; this waits for it:
	acknowledged := make(chan error, 1)
	d.Tell(Acknowledge{Consumer: ta, Done: []types.Seq{2}, Reply: func(_ Noted, err error) { acknowledged <- err }})
	d.Tell(Acknowledge{Consumer: ta, Done: []types.Seq{1}})
	before, opened := d.queue.State().StoreID, make(chan struct{})
	s.set(func(s *testStore) {
		s.onSync = func() error { return errors.New("the disk is gone") }
		s.onOpen = func() error {
			s.set(func(s *testStore) { s.Store, s.onSync, s.onOpen = memory.New(memory.Options{}), nil, nil })
			close(opened)
			return nil
		}
	})
	if _, err := put(t.Context(), d.queue, entry("t", "lost")); err == nil {
		t.Fatal("a disk that is gone has stored something")
	}
	<-opened
	describe(t, d.queue) // behind that
	mustPut(t, d.queue, "t", 3)
	if d.queue.State().StoreID == before {
		t.Fatal("the store is the same")
	}
	close(b.leave)
	if err := <-acknowledged; err == nil {
		t.Error("the acknowledgement was recorded, it is not known where")
	}
	a.wait(t, "the end", func() bool { return a.ended != nil })
	d.pending(0) // they belong to nobody
	if st := d.queue.Status(); st.Sent != 0 || st.Dropped != 3 {
		t.Errorf("%d sent and %d dropped, want 0 and 3", st.Sent, st.Dropped)
	}
}
