package actors

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// joinSoon asks for a place without waiting for the answer.
func (d *desk) joinSoon(name string, r Receiver) <-chan joinAnswer {
	answer := make(chan joinAnswer, 1)
	d.Tell(Join{Name: name, Expiry: time.Hour, Receiver: r, Messages: 10, Bytes: 1 << 20, Reply: func(j Joined, err error) {
		answer <- joinAnswer{j, err}
	}})
	return answer
}

type joinAnswer struct {
	value Joined
	err   error
}

// left is a consumer with a state, and a message that has left, whose receiver is
// gone.
func (d *desk) left(t *testing.T, state string) {
	t.Helper()
	r := newReceiver()
	token := d.join("a", r, 10).Token
	d.subscribe(token, 2, "t")
	mustPut(t, d.queue, "t", 1)
	r.payloads(t, 1)
	if _, err := Ask(soon(t), d.Ref, func(reply Reply[Noted]) ConsumersMessage {
		return Acknowledge{Consumer: token, State: []byte(state), Reply: reply}
	}); err != nil {
		t.Fatal(err)
	}
	d.Tell(Leave{Consumer: token, Last: all})
}

// Who goes on with a state, as by sending PUBREL, waits until that is synced: a
// power cut must not take it back.
func TestJoinWaitsUntilTheStateIsSynced(t *testing.T) {
	s := newTestStore()
	d := startDesk(t, s, nil)
	d.left(t, "released 1")
	begun, end := make(chan struct{}, 100), make(chan struct{})
	s.set(func(s *testStore) {
		s.onSync = func() error {
			begun <- struct{}{}
			<-end
			return nil
		}
	})
	r := newReceiver()
	answer := d.joinSoon("a", r)
	<-begun
	r.payloads(t, 1) // which may come before
	select {
	case a := <-answer:
		t.Errorf("answered before the sync: %+v", a)
	default:
	}
	close(end)
	if a := <-answer; a.err != nil || !a.value.Present || string(a.value.State) != "released 1" {
		t.Errorf("%+v", a)
	}
	// Without a state there is nothing to wait for, but for being there at all.
	if j := d.join("b", newReceiver(), 1); j.Present || len(j.State) > 0 {
		t.Errorf("%+v", j)
	}
}

// While the store cannot sync it is refused, and its place is given back as it was:
// the next one finds it.
func TestJoinIsRefusedWhileTheStateCannotBeSynced(t *testing.T) {
	s := newTestStore()
	d := startDesk(t, s, nil)
	d.left(t, "released 1")
	broken := errors.New("the disk is full")
	s.set(func(s *testStore) { s.onSync = func() error { return broken } })
	r := newReceiver()
	if a := <-d.joinSoon("a", r); !errors.Is(a.err, broken) || a.value.Present {
		t.Errorf("%+v, want the trouble", a)
	}
	s.set(func(s *testStore) { s.onSync = nil })
	again := newReceiver()
	var j Joined
	for end := time.Now().Add(testPatience); ; {
		a := <-d.joinSoon("a", again)
		if j = a.value; a.err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(a.err)
		}
	}
	if !j.Present || string(j.State) != "released 1" {
		t.Errorf("%+v", j)
	}
	if got := again.payloads(t, 1); !slices.Equal(got, []string{"0"}) {
		t.Errorf("got %v", got)
	}
	d.acknowledge(j.Token, 1)
	d.pending(0)
	if d.InFlight() != 0 || d.Count() != 1 {
		t.Errorf("%d in flight, %d consumers", d.InFlight(), d.Count())
	}
	if st := d.queue.Status(); st.Sent != 1 {
		t.Errorf("%+v", st)
	}
}

// What a consumer has subscribed to already counts once, however often it asks.
func TestARepeatedFilterCountsOnce(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	token := d.join("a", newReceiver(), 10).Token
	one, other := strings.Repeat("a", MaxConsumerFilters/2-1000), strings.Repeat("b", MaxConsumerFilters/2-1000)
	for range 3 {
		d.subscribe(token, 1, one, one, other, one)
	}
	_, err := Ask(soon(t), d.Ref, func(r Reply[[]bool]) ConsumersMessage {
		return Subscribe{token, []Subscription{{Filter: strings.Repeat("c", 3000), QoS: 1}}, r}
	})
	if !errors.Is(err, types.ErrQueueFull) {
		t.Errorf("more than fits: %v", err)
	}
}
