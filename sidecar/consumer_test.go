package sidecar_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/sidecar"
	"github.com/mqttdb/mqttdb/types"
)

func topics(pairs ...any) sidecar.Topics {
	var list sidecar.Topics
	for i := 0; i < len(pairs); i += 2 {
		list.Topics = append(list.Topics, sidecar.Topic{Topic: pairs[i].(string), QoS: pairs[i+1].(int)})
	}
	return list
}

// basket keeps what a client gets.
type basket struct {
	mu   sync.Mutex
	list []got
	came chan struct{}
}

type got struct {
	seq   uint64
	flags uint8
	text  string
	qos   int
}

func (k *basket) take(f sidecar.Frame, h sidecar.MessageHeader) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, got{f.Seq, f.Flags, string(f.Payload), h.QoS})
	close(k.came)
	k.came = make(chan struct{})
}

func newBasket(p *peer.Peer) *basket {
	k := &basket{came: make(chan struct{})}
	p.Message = k.take
	return k
}

// await waits until n messages came in all, and returns those behind the first from.
func (k *basket) await(t *testing.T, from, n int) []got {
	t.Helper()
	ctx := within(t)
	for {
		k.mu.Lock()
		list, came := k.list, k.came
		k.mu.Unlock()
		if len(list) >= n {
			return list[from:n:n]
		}
		select {
		case <-came:
		case <-ctx.Done():
			t.Fatalf("%d of %d came", len(list), n)
		}
	}
}

func (k *basket) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.list)
}

func (r *rig) send(topic string, qos types.QoS, from, to int) {
	for _, text := range texts(from, to) {
		r.broker.Publish(types.Message{Topic: topic, Payload: []byte(text), QoS: qos})
	}
}

func (r *rig) subscribed(n int) {
	r.t.Helper()
	if err := r.broker.WaitForFilters(within(r.t), "c", n); err != nil {
		r.t.Fatal(err)
	}
}

var n1 = sidecar.Target{Broker: "b", Consumer: "n1"}

// A consumer with persist.incoming gets no more than its window, each message until it
// has acknowledged it, and what came while it was away.
func TestStoredConsumer(t *testing.T) {
	r := newRig(t)
	p := peer.New(session, r.dir)
	k := newBasket(p)
	r.dial(p)
	ask(t, p, sidecar.OpenType, b, settings("persist", stored))
	window := 3
	withWindow := n1
	withWindow.Window = &window
	first := ask(t, p, sidecar.SubType, withWindow, topics("in/#", 2))
	if !strings.HasPrefix(first, `{"stored":true,"store":"`) {
		t.Errorf("subscribed: %s", first)
	}
	r.subscribed(1)
	r.send("in/x", 2, 1, 10)
	list := k.await(t, 0, 3)
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == 10 })
	if n := k.count(); n != 3 {
		t.Errorf("%d came, the window is 3", n)
	}
	if err := p.Done("b", "n1", list[1].seq); err != nil {
		t.Fatal(err)
	}
	k.await(t, 0, 5) // up to 5; 1 and 2 are done
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == 8 })

	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r.send("in/x", 1, 11, 12)
	again := k.count()
	r.dial(p)
	ask(t, p, sidecar.OpenType, b, settings("persist", stored))
	if second := ask(t, p, sidecar.SubType, n1, topics("in/#", 2)); second != first {
		t.Errorf("the store was %s, is %s", first, second)
	}
	list = k.await(t, again, again+10)
	for i, m := range list {
		if want := fmt.Sprint(i + 3); m.text != want || (m.flags&sidecar.Redelivered != 0) != (i < 3) {
			t.Errorf("message %d: %+v, want %s", i, m, want)
		}
	}
	if err := p.Done("b", "n1", list[9].seq); err != nil {
		t.Fatal(err)
	}
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == 0 })
}

// The topics of a consumer change while it is there, each with its own QoS; when it ends
// for good nothing waits for it.
func TestTopics(t *testing.T) {
	for _, c := range []struct {
		name     string
		incoming bool
	}{{"stored", true}, {"in memory", false}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			p := peer.New(session, r.dir)
			k := newBasket(p)
			r.dial(p)
			ask(t, p, sidecar.OpenType, b, settings("persist", map[string]bool{"outgoing": true, "incoming": c.incoming}))
			ask(t, p, sidecar.SubType, n1, topics("a", 0, "b", 2))
			r.subscribed(2)
			r.send("a", 2, 1, 1)
			r.send("b", 2, 2, 2)
			list := k.await(t, 0, 2)
			if list[0].qos != 0 || list[1].qos != 2 {
				t.Errorf("came: %+v", list)
			}
			ask(t, p, sidecar.SubType, n1, topics("c", 1))
			ask(t, p, sidecar.UnsubType, n1, sidecar.Untopics{Topics: []string{"a", "b"}})
			if err := r.broker.WaitWithout(within(t), "c", "b"); err != nil {
				t.Fatal(err)
			}
			r.subscribed(1)
			r.send("b", 2, 3, 3)
			r.send("c", 2, 4, 4)
			if list := k.await(t, 2, 3); list[0].text != "4" || list[0].qos != 1 {
				t.Errorf("came: %+v", list)
			}
			refused(t, p, "invalid", sidecar.SubType, n1, topics("a/#/b", 1))
			refused(t, p, "invalid", sidecar.SubType, n1, sidecar.Topics{})
			ask(t, p, sidecar.UnsubType, n1, nil)
			if err := r.broker.WaitWithout(within(t), "c", "c"); err != nil {
				t.Fatal(err)
			}
			status(t, p, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == 0 })
		})
	}
}

// Without persist.incoming a consumer misses nothing either, while the sidecar lives;
// CREDIT stops and starts it.
func TestConsumerInMemory(t *testing.T) {
	r := newRig(t)
	p := peer.New(session, r.dir)
	k := newBasket(p)
	r.dial(p)
	ask(t, p, sidecar.OpenType, b, settings())
	window := 2
	withWindow := n1
	withWindow.Window = &window
	first := ask(t, p, sidecar.SubType, withWindow, topics("in/#", 1))
	if !strings.HasPrefix(first, `{"stored":false,"store":"`) {
		t.Errorf("subscribed: %s", first)
	}
	r.subscribed(1)
	const count = 5000
	r.send("in/x", 1, 1, count)
	list := k.await(t, 0, 2)
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == count })
	if list[0].seq != 1 || list[1].seq != 2 || k.count() != 2 {
		t.Errorf("came: %+v", list)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r.dial(p) // as by a redeploy
	ask(t, p, sidecar.OpenType, b, settings())
	if again := ask(t, p, sidecar.SubType, withWindow, topics("in/#", 1)); again != first {
		t.Errorf("the store was %s, is %s", first, again)
	}
	k.await(t, 0, 4)
	if err := p.Done("b", "n1", 2); err != nil {
		t.Fatal(err)
	}
	credit, err := json.Marshal(sidecar.Target{Broker: "b", Consumer: "n1", Window: new(int)})
	if err != nil {
		t.Fatal(err)
	}
	k.await(t, 0, 6)
	if err := p.Say(sidecar.Frame{Type: sidecar.CreditType, Header: credit}); err != nil {
		t.Fatal(err)
	}
	ask(t, p, sidecar.ConnectType, b, nil) // it has been done
	if err := p.Done("b", "n1", 4); err != nil {
		t.Fatal(err)
	}
	status(t, p, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == count-4 })
	if n := k.count(); n != 6 {
		t.Errorf("%d came without credit", n)
	}
	if err := p.Done("b", "n1", 9999); err != nil {
		t.Fatal(err)
	}
	<-p.Gone()
	if why := p.Why(); !strings.Contains(why.Error(), "1002") {
		t.Errorf("an acknowledgement of what never came: %v", why)
	}
}

// A client that does not read costs no more memory than a message beyond a bound, and
// gets everything when it reads again.
func TestSlowReader(t *testing.T) {
	r := newRig(t)
	p := peer.New(session, r.dir)
	k := newBasket(p)
	gate := make(chan struct{})
	p.Message = func(f sidecar.Frame, h sidecar.MessageHeader) {
		<-gate
		k.take(f, h)
		_ = p.Done(h.Broker, h.Consumer, f.Seq)
	}
	r.dial(p)
	ask(t, p, sidecar.OpenType, b, settings("persist", stored))
	window := 10_000
	withWindow := n1
	withWindow.Window = &window
	ask(t, p, sidecar.SubType, withWindow, topics("in/#", 1))
	r.subscribed(1)
	const size, count = 64 << 10, 400 // 25 MiB
	for range count {
		r.broker.Publish(types.Message{Topic: "in/x", Payload: make([]byte, size), QoS: 1})
	}
	watcher := r.peer("session-9876543210")
	ask(t, watcher, sidecar.OpenType, b, settings("persist", stored))
	status(t, watcher, func(s sidecar.BrokerStatus) bool { return s.IncomingPending == count })
	if n := r.server.Waiting(); n > 1<<20+2*(size+100) {
		t.Errorf("%d bytes wait for the client", n)
	}
	close(gate)
	for i, m := range k.await(t, 0, count) {
		if m.seq != uint64(i+1) || len(m.text) != size {
			t.Fatalf("message %d has number %d and %d bytes", i, m.seq, len(m.text))
		}
	}
}
