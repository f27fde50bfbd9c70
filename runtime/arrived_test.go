package runtime_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Without a store for what comes in, too, a message that can never be kept for local
// clients, or relayed, holds up nobody: those behind it come, and it is not asked for
// again.
func TestWhatCannotBePassedOn(t *testing.T) {
	for _, bad := range []types.Message{
		{Topic: "in/a\tb", Retain: true},                         // brokers may hang up on this one
		{Topic: "in/a\tb"},                                       // wanted by the session
		{Topic: "in/" + strings.Repeat("x", types.MaxTopic-4)},   // too long with its prefix
		{Topic: "in/ok", Payload: bytes.Repeat([]byte{1}, 5000)}, // in an envelope too large for b
	} {
		t.Run(bad.Topic[:5], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testWhatCannotBePassedOn(t, bad) })
		})
	}
}

func testWhatCannotBePassedOn(t *testing.T, bad types.Message) {
	r := newRelay(t, "b")
	defer r.close()
	r.config.MaxMessageSize = 6000
	r.config.Connections[0].Persist.Incoming = config.Off
	r.config.Connections[0].Subscribe[0].LocalPrefix = "l/"
	r.config.Connections[1].Forward = []config.Forward{{Topic: "l/in/#", Relay: true, Envelope: config.EnvelopeJSON}}
	r.local = nowhere{}
	r.start()
	s, err := nowhere{}.Open(t.Context(), r.rt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(t.Context(), []actors.Subscription{{Filter: "l/in/#", QoS: 2}}); err != nil {
		t.Fatal(err)
	}
	r.publish(1, 1)
	bad.QoS = 1
	r.brokers["a"].Publish(bad)
	r.publish(2, 2)
	if err := r.brokers["b"].WaitFor(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	r.brokers["a"].Cut() // nothing is half-way
	r.publish(3, 3)
	await(t, r.rt, "all else to be stored", func(l []types.Status) bool {
		refused := l[1].Outgoing.Refused // twice if the cut came before its acknowledgement
		return l[1].Outgoing.Sent == 3 && l[2].Outgoing.Accepted >= 3 && (refused == 1 || refused == 2)
	})
}
