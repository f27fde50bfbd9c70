//go:build unix

package interop

import (
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// watcher is a client that sees everything. It belongs to the test's goroutine.
type watcher struct {
	t testing.TB
	c paho.Client

	mu      sync.Mutex
	seen    map[string][]message // by topic
	changed chan struct{}        // closed when more has come
}

type message struct {
	payload  string
	qos      byte
	retained bool
}

func watch(t testing.TB, g *gateway) *watcher {
	t.Helper()
	w := &watcher{t: t, seen: make(map[string][]message), changed: make(chan struct{})}
	o := paho.NewClientOptions().AddBroker("tcp://" + g.addr).SetProtocolVersion(4).SetAutoReconnect(false)
	o.SetDefaultPublishHandler(w.take)
	w.c = paho.NewClient(o)
	w.done(w.c.Connect())
	w.done(w.c.Subscribe("#", 2, nil))
	t.Cleanup(func() { w.c.Disconnect(0) })
	return w
}

func (w *watcher) take(_ paho.Client, m paho.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[m.Topic()] = append(w.seen[m.Topic()], message{string(m.Payload()), m.Qos(), m.Retained()})
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watcher) done(token paho.Token) {
	w.t.Helper()
	if !token.WaitTimeout(patience) {
		w.t.Fatal("the local broker does not answer")
	} else if token.Error() != nil {
		w.t.Fatal(token.Error())
	}
}

// publish waits until the message was acknowledged.
func (w *watcher) publish(topic string, qos byte, retain bool, payload string) {
	w.t.Helper()
	w.done(w.c.Publish(topic, qos, retain, payload))
}

// on is what came on a topic so far.
func (w *watcher) on(topic string) []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[topic]
}

// await waits for a message; it may have come already.
func (w *watcher) await(topic, payload string) message {
	w.t.Helper()
	m, ok := w.within(patience, topic, payload)
	if !ok {
		w.t.Fatalf("%q did not come on %s", payload, topic)
	}
	return m
}

// soon waits a moment for a message that may or may not come.
func (w *watcher) soon(topic, payload string) bool {
	_, ok := w.within(100*time.Millisecond, topic, payload)
	return ok
}

func (w *watcher) within(d time.Duration, topic, payload string) (message, bool) {
	for end := time.After(d); ; {
		w.mu.Lock()
		for _, m := range w.seen[topic] {
			if m.payload == payload {
				w.mu.Unlock()
				return m, true
			}
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-end:
			return message{}, false
		}
	}
}
