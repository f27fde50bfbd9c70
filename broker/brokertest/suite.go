// Package brokertest is the suite that every broker.Dialer must pass: the
// sentences of the contract, one test each, against a broker that does what
// MQTT 3.1.1 says.
package brokertest

import (
	"testing"

	"github.com/mqttdb/mqttdb/broker"
)

// Harness is a dialer with a broker of its own behind it.
type Harness struct {
	Dialer broker.Dialer

	// Username and Password are what the broker asks for; "" if it takes
	// anybody.
	Username string
	Password []byte

	// Freeze stops the broker reading and answering, its connections stay; Thaw
	// lets it go on.
	Freeze, Thaw func()

	// Kill breaks all links, as the death of the broker does. Nothing is asked
	// of the broker afterwards.
	Kill func()
}

// Run runs the suite; each test gets a harness of its own.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	tests := []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"a session is present when the broker has kept it", sessionPresent},
		{"dial fails and tells nothing", dialFails},
		{"wrong credentials are refused", credentials},
		{"a second client with the id ends the first", takeover},

		{"QoS 0 is written and arrives", qos0},
		{"what is not worth sending any more is withheld", withheld},
		{"QoS 1 is acknowledged and arrives whole and in order", qos1},
		{"QoS 2 goes in four steps", qos2},
		{"QoS 2 sent again before its release arrives once", qos2Again},
		{"QoS 2 sent again on another link arrives once", qos2OtherLink},
		{"all kinds of payloads arrive byte by byte", payloads},
		{"what the protocol cannot carry is refused whole", invalid},

		{"filters are granted and given back", subscriptions},
		{"retained messages say so", retained},
		{"QoS 2 is received in four steps", receivedQoS2},
		{"what was not acknowledged comes again", receivedAgain},
		{"what is too large is read past", oversized},
		{"messages and acknowledgements pass each other in order", bothWays},

		{"a graceful close writes what was handed over and leaves no will", closeGraceful},
		{"an abrupt close leaves the will", closeAbrupt},
		{"the death of the broker is told once and last", killed},
		{"a closed link takes nothing", closed},
		{"nothing waits for a broker that does not read", frozen},
		{"a link may be used by many at once", concurrent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, harness(t)) })
	}
}
