package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// incomingHouse is a runtime that stores what the broker sends.
func incomingHouse(t *testing.T, c config.Connection) (*house, *runtime.Runtime) {
	t.Helper()
	h := newHouse()
	h.options = storesIncoming
	c.Name, c.Subscribe = "cloud", []config.Subscribe{{Topic: "in/#"}}
	return h, h.open(t, c)
}

// storesIncoming turns persist.incoming on behind the check of the configuration.
func storesIncoming(o *runtime.Options) {
	for i := range o.Config.Connections {
		c := &o.Config.Connections[i]
		c.Persist.Incoming = config.On
		for k := range c.Subscribe {
			c.Subscribe[k].QoS = config.QoS2
		}
	}
}

// come publishes messages at the broker, and waits until they are stored.
func (h *house) come(t *testing.T, rt *runtime.Runtime, accepted uint64, messages ...types.Message) {
	t.Helper()
	if err := h.broker.WaitForFilters(t.Context(), "cloud", 1); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		h.broker.Publish(m)
	}
	await(t, rt, "the messages to be stored", func(s []types.Status) bool { return s[0].Incoming.Accepted == accepted })
}

// S4.1, S4.3: what the broker sends is in the incoming queue of the connection, which
// the status shows; it survives the process.
func TestIncomingIsStored(t *testing.T) {
	h, rt := incomingHouse(t, config.Connection{})
	var list []types.Message
	for i := range 20 {
		list = append(list, types.Message{Topic: fmt.Sprint("in/", i), Payload: []byte{byte(i), 0, 0xff}, QoS: types.QoS(i % 3)})
	}
	h.come(t, rt, 20, list...)
	if _, err := rt.Connection("cloud").Messages(t.Context(), types.IncomingDead, 0, 10); err != nil {
		t.Error(err)
	}
	h.store = h.store.Kill()
	again := h.open(t, config.Connection{Name: "cloud", Subscribe: []config.Subscribe{{Topic: "in/#"}}})
	if s := again.Status()[0]; s.Incoming.Accepted != 20 || s.Outgoing.Accepted != 0 || s.Incoming.Trouble != "" {
		t.Errorf("%+v", s.Incoming)
	}
}

// What comes in on a connection that does not store it is nothing that can be asked
// for; and what there is of an earlier time is shown.
func TestIncomingThatIsNotStored(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "cloud"})
	for _, queue := range []types.QueueName{types.Incoming, types.IncomingDead, "else"} {
		if _, err := rt.Connection("cloud").Messages(t.Context(), queue, 0, 10); !errors.Is(err, types.ErrUnknownQueue) {
			t.Errorf("messages of %s: %v", queue, err)
		}
		if _, err := rt.Clear(t.Context(), "cloud", types.Selection{Queue: queue}); !errors.Is(err, types.ErrUnknownQueue) {
			t.Errorf("clear %s: %v", queue, err)
		}
		if _, err := rt.Connection("cloud").Requeue(t.Context(), queue, 1); !errors.Is(err, types.ErrUnknownQueue) {
			t.Errorf("requeue from %s: %v", queue, err)
		}
	}
	if _, err := rt.Connection("cloud").Requeue(t.Context(), types.Outgoing, 1); !errors.Is(err, types.ErrUnknownQueue) {
		t.Errorf("requeue from outgoing: %v", err)
	}
}

// An incoming queue with messages whose connection is gone, or does not store what
// comes in any more, is an orphan.
func TestIncomingOrphans(t *testing.T) {
	h := newHouse()
	leftIn(t, h.store, "cloud/incoming", message("in/a", "a"), message("in/b", "b"))
	leftIn(t, h.store, "gone/incoming", message("in/c", "c"))
	leftIn(t, h.store, "gone/outgoing", message("out/d", "d"))
	h.broker = loopback.New(1)
	h.broker.Down()
	rt := h.open(t, config.Connection{Name: "cloud"})
	check := func() {
		t.Helper()
		byName := map[string]types.Status{}
		for _, s := range rt.Status() {
			byName[s.Name] = s
		}
		if s := byName["cloud/incoming"]; !s.Orphan || s.Incoming.Pending != 2 || s.Hint == "" {
			t.Errorf("what the connection does not use: %+v", s)
		}
		if s := byName["gone"]; !s.Orphan || s.Incoming.Pending != 1 || s.Outgoing.Pending != 1 {
			t.Errorf("what nobody is configured for: %+v", s)
		}
		if len(byName) != 3 {
			t.Errorf("%d statuses", len(byName))
		}
	}
	check()
	h.mustReload(t, rt, config.Connection{Name: "cloud", Window: 7})
	check()
}

// leftIn stores messages in the queue of that name.
func leftIn(t *testing.T, store *memory.Store, name string, messages ...types.Message) {
	t.Helper()
	q, err := store.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if _, err := q.Write(t.Context(), persistence.Commit{Messages: []persistence.Entry{{Message: m}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// S3.4: where the incoming queue alone is on disk it keeps the client id that was
// made, and what is known of the session, which goes on after the process has died.
func TestIncomingKeepsTheSession(t *testing.T) {
	h := newHouse()
	h.options = func(o *runtime.Options) {
		storesIncoming(o)
		o.Config.Connections[0].ClientID = ""
	}
	c := config.Connection{Name: "cloud", Persist: config.Persist{Outgoing: config.Off}, Subscribe: []config.Subscribe{{Topic: "in/#"}}}
	var ids []string
	for range 3 {
		rt := h.open(t, c)
		await(t, rt, "online", online("cloud"))
		h.store = h.store.Kill()
		ids = append(ids, h.clientID(t, "cloud/incoming"))
	}
	if ids[0] == "" || ids[1] != ids[0] || ids[2] != ids[0] {
		t.Errorf("the client ids are %q", ids)
	}
}

// clientID reads the client id that is stored in a queue that nobody has open.
func (h *house) clientID(t *testing.T, name string) string {
	t.Helper()
	q, err := h.store.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(t.Context())
	for key, value := range q.Marks("client_id") {
		if key == "client_id" {
			return string(value)
		}
	}
	return ""
}

// persist.incoming takes a restart, as persist.outgoing does; the error names it.
func TestReloadOfPersistIncoming(t *testing.T) {
	_, rt := incomingHouse(t, config.Connection{})
	await(t, rt, "online", online("cloud"))
	cfg := config.Config{Connections: named([]config.Connection{{Name: "cloud"}})}
	_, err := rt.Reload(t.Context(), cfg)
	if !errors.Is(err, types.ErrNeedsRestart) || !strings.Contains(err.Error(), "connections.cloud.persist.incoming") {
		t.Errorf("%v", err)
	}
}
