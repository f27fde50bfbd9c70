package sidecar_test

import (
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/sidecar"
)

// What is acknowledged is stored, and arrives in order; what a client says again is
// stored once, also by the next sidecar.
func TestResend(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.OpenType, b, settings("connect", false))
	publish(t, p, 0, texts(1, 50)...)
	acked(t, p)
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.Pending == 50 && s.State == "paused" })

	r.close(r.server)
	<-p.Gone()
	_ = p.Publish(sidecar.MessageHeader{Broker: "b", Topic: "t", QoS: 1}, 0, []byte("51"))
	r.start("")
	again := peer.New(session, r.dir) // it does not know that 1 to 50 are acknowledged
	r.dial(again)
	ask(t, again, sidecar.OpenType, b, settings())
	publish(t, again, 0, texts(1, 51)...)
	acked(t, again)
	if got, want := r.arrived(51), strings.Join(texts(1, 51), " "); got != want {
		t.Errorf("the broker has %s", got)
	}
	status(t, again, func(s sidecar.BrokerStatus) bool { return s.Pending == 0 })
}

// A full queue refuses what comes, and what comes behind it until RESUME; ROOM says when
// that is worth while.
func TestFull(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.OpenType, b, settings("connect", false, "limits", map[string]any{"max_messages": 10}))
	publish(t, p, 0, texts(1, 15)...)
	acked(t, p)
	nacked := func(n int) func(peer.State) bool { return func(s peer.State) bool { return len(s.Nacks) == n } }
	var got sidecar.Nack
	if err := p.Await(within(t), func(s peer.State) bool {
		if len(s.Nacks) > 0 {
			got = s.Nacks[0]
		}
		return len(s.Nacks) == 1
	}); err != nil {
		t.Fatal(err)
	}
	if got.Code != "full" || !got.Stop || got.Broker != "b" {
		t.Errorf("the answer was %+v", got)
	}
	publish(t, p, 0, "16") // it does not overtake the others
	acked(t, p)
	publish(t, p, sidecar.Resume, "11") // too early
	acked(t, p)
	if err := p.Await(within(t), nacked(2)); err != nil {
		t.Fatal(err)
	}
	ask(t, p, sidecar.ConnectType, b, nil)
	if err := p.Await(within(t), func(s peer.State) bool { return s.Rooms > 0 }); err != nil {
		t.Fatal(err)
	}
	publish(t, p, sidecar.Resume, "11", "12")
	publish(t, p, 0, "13")
	acked(t, p)
	if got, want := r.arrived(13), strings.Join(texts(1, 13), " "); got != want {
		t.Errorf("the broker has %s", got)
	}
}

// What can never be stored is refused by itself.
func TestInvalid(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	publish(t, p, 0, "the broker is not open")
	acked(t, p)
	ask(t, p, sidecar.OpenType, b, settings())
	publish(t, p, sidecar.Resume, "1")
	bad := []struct {
		h       sidecar.MessageHeader
		payload int
	}{
		{sidecar.MessageHeader{Broker: "b", Topic: "a/#"}, 1},
		{sidecar.MessageHeader{Broker: "b", Topic: "t", QoS: 3}, 1},
		{sidecar.MessageHeader{Broker: "b", Topic: "t"}, p.Welcome.MaxPayload + 1},
	}
	for _, m := range bad {
		if err := p.Publish(m.h, 0, make([]byte, m.payload)); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, p, 0, "2")
	acked(t, p)
	if got := r.arrived(2); got != "1 2" {
		t.Errorf("the broker has %s", got)
	}
	var codes []string
	if err := p.Await(within(t), func(s peer.State) bool {
		codes = nil
		for _, n := range s.Nacks {
			codes = append(codes, n.Code)
		}
		return len(codes) == 4
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(codes, " "); got != "not-open invalid invalid too-large" {
		t.Errorf("refused were: %s", got)
	}
}

// What a frame says of one broker does not wait for another one.
func TestLanesAreApart(t *testing.T) {
	r := newRig(t)
	p := r.peer(session)
	ask(t, p, sidecar.OpenType, b, settings("connect", false, "limits", map[string]any{"max_messages": 1}))
	ask(t, p, sidecar.OpenType, sidecar.Target{Broker: "other"}, settings("client_id", "o"))
	publish(t, p, 0, "1", "2", "3")
	if err := p.Publish(sidecar.MessageHeader{Broker: "other", Topic: "o"}, 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	acked(t, p)
	if got := r.arrived(1); got != "x" {
		t.Errorf("the broker has %s", got)
	}
}

// While the store fails nothing is answered; what was half stored then is stored once,
// whether its answer was lost or the message.
func TestStoreInTrouble(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault faultstore.Fault
	}{
		{"writes fail", faultstore.Fault{Op: faultstore.Write}},
		{"writes succeed, and nobody hears of it", faultstore.Fault{Op: faultstore.Write, Late: true}},
		{"the second write fails", faultstore.Fault{Op: faultstore.Write, After: 1}},
		{"a sync fails", faultstore.Fault{Op: faultstore.Sync}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a store that has failed is left alone for seconds
			faulty := faultstore.New(memory.New(memory.Options{}))
			r := newRigOn(t, faulty)
			p := r.peer(session)
			ask(t, p, sidecar.OpenType, b, settings("connect", false))
			faulty.Inject(c.fault)
			publish(t, p, 0, texts(1, 3000)...) // more than one batch
			acked(t, p)
			if err := p.Await(within(t), func(s peer.State) bool { return len(s.Nacks) == 0 }); err != nil {
				t.Errorf("something was refused: %v", err)
			}
			ask(t, p, sidecar.ConnectType, b, nil)
			if got, want := r.arrived(3000), strings.Join(texts(1, 3000), " "); got != want {
				t.Error("the broker has something else than 1 to 3000, once each and in order")
			}
		})
	}
}
