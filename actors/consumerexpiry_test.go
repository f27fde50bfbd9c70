package actors

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// agingDesk is a desk in a bubble.
type agingDesk struct {
	*desk
	clock *wallClock
}

// atDesk runs a test with a desk.
func atDesk(t *testing.T, test func(t *testing.T, d *agingDesk)) {
	outside := time.Now()
	synctest.Test(t, func(t *testing.T) {
		d := &agingDesk{clock: newWallClock(outside)}
		d.desk = startDesk(t, agingStore(d.clock), d.clock)
		test(t, d)
	})
}

// put stores messages that expire after as many seconds; 0: never.
func (d *agingDesk) put(expiries ...int) {
	d.t.Helper()
	var list []persistence.Entry
	for i, s := range expiries {
		m := types.Message{Topic: "t", Payload: []byte{'a' + byte(i)}, QoS: 1, Expiry: time.Duration(s) * time.Second}
		list = append(list, persistence.Entry{Message: m, Enqueued: d.clock.Now()})
	}
	if _, err := put(soon(d.t), d.queue, list...); err != nil {
		d.t.Fatal(err)
	}
}

// expired waits until so many have.
func (d *agingDesk) expired(pending, expired uint64) {
	d.t.Helper()
	d.pending(pending)
	if s := d.queue.Status(); s.Expired != expired || s.Accepted != s.Sent+s.Expired+s.Dropped+s.Pending {
		d.t.Errorf("%d have expired, want %d: %+v", s.Expired, expired, s)
	}
}

// What has expired is given to nobody, and leaves for all; but what somebody has in
// hand stays until that one is done with it [S3.5].
func TestExpiredIsGivenToNobody(t *testing.T) {
	atDesk(t, func(t *testing.T, d *agingDesk) {
		here, away := newReceiver(), newReceiver()
		ht, at := d.join("here", here, 2).Token, d.join("away", away, 10).Token
		d.subscribe(ht, 1, "t")
		d.subscribe(at, 1, "t")
		d.Tell(Leave{Consumer: at})
		d.put(10, 10, 10, 10, 0)
		if got := here.payloads(t, 2); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("got %v", got)
		}
		for i, got := range here.got {
			if left := got.Until.Sub(d.clock.Now()); left > 10*time.Second || left < 9*time.Second {
				t.Errorf("number %d expires in %v", i+1, left)
			}
		}
		here.mu.Lock()
		here.sent = 2
		here.mu.Unlock()
		<-time.After(12 * time.Second)
		d.expired(3, 2) // c and d
		again := newReceiver()
		at = d.join("away", again, 10).Token
		if got := again.payloads(t, 1); !slices.Equal(got, []string{"e"}) {
			t.Errorf("who was away gets %v", got)
		}
		d.acknowledge(ht, 1)
		d.expired(2, 2)
		if _, err := Ask(soon(t), d.Ref, func(r Reply[Noted]) ConsumersMessage { // it had not left
			return Acknowledge{Consumer: ht, Expired: []types.Seq{2}, Reply: r}
		}); err != nil {
			t.Fatal(err)
		}
		d.expired(1, 3)
		here.payloads(t, 3)
		d.acknowledge(ht, 5)
		d.acknowledge(at, 5)
		d.expired(0, 3)
	})
}

// What was delivered, and not acknowledged by somebody who is gone, is not delivered
// again when it has expired: not even before it has left the queue.
func TestExpiredIsNotGivenAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *agingDesk) {
		first := newReceiver()
		token := d.join("a", first, 10).Token
		d.subscribe(token, 1, "t")
		d.put(10, 0, 10)
		first.payloads(t, 3)
		<-time.After(10*time.Second + time.Millisecond) // what has expired is looked for later
		d.Tell(Leave{Consumer: token, Last: 3})
		again := newReceiver()
		token = d.join("a", again, 10).Token
		if got := again.payloads(t, 1); !slices.Equal(got, []string{"b"}) {
			t.Errorf("it gets %v", got)
		}
		d.acknowledge(token, 2)
		d.expired(0, 2)
	})
}

// A pump leaves out what has expired, and hands the age of the rest on.
func TestPumpsKnowTheAge(t *testing.T) {
	atDesk(t, func(t *testing.T, d *agingDesk) {
		established := []Established{{Name: "pump", List: []Subscription{{Filter: "#", QoS: 2}}}}
		if _, err := Ask(soon(t), d.Ref, func(r Reply[Noted]) ConsumersMessage { return Establish{established, r} }); err != nil {
			t.Fatal(err)
		}
		accepted := d.clock.Now()
		d.put(0, 5, 30, 5, 5, 0)
		<-time.After(5*time.Second + time.Millisecond)
		stored := make(chan types.Passage, 10)
		p, err := SpawnPump(d.sys, PumpConfig{Name: "pump", Consumers: d.Consumers, Consumer: "pump", Clock: d.clock, Store: func(list []types.Passage, _ func()) int {
			for _, p := range list {
				stored <- p
				p.Done(nil)
			}
			return len(list)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, p.Ref)
		for _, want := range []string{"a", "c", "f"} {
			got := receive(t, stored, want)
			if off := accepted.Sub(got.Since); string(got.Message.Payload) != want || off < 0 || off > 5*time.Millisecond {
				t.Errorf("it stores %q as accepted %v before it was, want %q", got.Message.Payload, off, want)
			}
		}
		d.expired(0, 3)
	})
}
