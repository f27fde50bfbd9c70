package config

import (
	"strings"
	"testing"
)

func TestSurprises(t *testing.T) {
	const readers = "connections.a.subscribe[0]: is stored for persistent sessions"
	two := func(a, b Connection) []Connection {
		a.Name, b.Name = "a", "b"
		if a.Broker == "" {
			a.Broker = "mqtt://one"
		}
		if b.Broker == "" {
			b.Broker = "mqtt://two"
		}
		return []Connection{a, b}
	}
	none := Connection{Forward: []Forward{}}
	tests := []struct {
		name        string
		connections []Connection
		want        []string // beginnings
	}{
		{"nothing", two(none, none), nil},
		{"plain", two(Connection{}, none), nil},
		{"shadowed", two(Connection{Forward: []Forward{{Topic: "a/#"}, {Topic: "a/b"}}}, none),
			[]string{"connections.a.forward[1]: is never used: forward[0] selects all"}},
		{"a special one first", two(Connection{Forward: []Forward{{Topic: "a/b"}, {Topic: "a/#"}}}, none), nil},
		{"a relay behind one that is none", two(Connection{Forward: []Forward{{Topic: "a/#"}, {Topic: "a/b", Relay: true}}}, Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/b"}}}),
			[]string{"connections.b.subscribe[0]: brings messages on topics that a.forward[0] selects, but does not forward"}},
		{"nobody publishes there", two(Connection{Forward: []Forward{{Topic: "$SYS/#", RemotePrefix: "gw/"}}}, none),
			[]string{"connections.a.forward[0]: selects topics to which local clients cannot publish"}},
		{"to $-topics", two(Connection{Forward: []Forward{{Topic: "a", RemotePrefix: "$x/"}}}, none),
			[]string{"connections.a.forward[0]: forwards to topics that begin with $"}},
		{"QoS lowered", two(Connection{MaxQoS: QoS0, Forward: []Forward{{Topic: "a", QoS: QoS1}}}, none),
			[]string{"connections.a.forward[0]: asks for QoS 1, but max_qos lowers that to 0"}},
		{"retain cleared", two(Connection{Retain: RetainClear}, none), []string{"connections.a.retain: is clear"}},
		{"retain cleared of nothing", two(Connection{Retain: RetainClear, Forward: []Forward{}}, none), nil},
		{"relays nothing", two(Connection{Forward: []Forward{{Topic: "a", Relay: true}}}, none),
			[]string{"connections.a.forward[0]: relays nothing"}},
		{"no relay", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/#"}}}, Connection{Forward: []Forward{{Topic: "#"}}}),
			[]string{"connections.a.subscribe[0]: brings messages on topics that b.forward[0] selects, but does not forward", readers}},
		{"a relay", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/#"}}}, Connection{Forward: []Forward{{Topic: "#", Relay: true}}}), nil},
		{"a relay of QoS 0", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/#", QoS: QoS0}}}, Connection{Forward: []Forward{{Topic: "#", Relay: true}}}),
			[]string{"connections.a.subscribe[0]: asks for QoS 0"}},
		{"no reader", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/#"}}}, none), []string{readers}},
		{"sent twice", two(Connection{Forward: []Forward{{Topic: "a/#"}}}, Connection{Broker: "mqtt://one", Forward: []Forward{{Topic: "#", LocalPrefix: "a/", RemotePrefix: "a/"}}}),
			[]string{"connections.b.forward[0]: sends messages a second time: a.forward[0]"}},
		{"sent to two topics", two(Connection{Forward: []Forward{{Topic: "a/#"}}}, Connection{Broker: "mqtt://one", Forward: []Forward{{Topic: "a/#", RemotePrefix: "b/"}}}), nil},
		{"subscribed twice", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "+/x"}, {Topic: "a/+"}}}, none),
			[]string{readers, "connections.a.subscribe[1]: selects topics that subscribe[0] selects, too", "connections.a.subscribe[1]: is stored"}},
		{"subscribed in vain", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/#"}, {Topic: "a"}}}, none),
			[]string{readers, "connections.a.subscribe[1]: is never used"}},
		{"to local $-topics", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "$SYS/#"}}}, none),
			[]string{readers, "connections.a.subscribe[0]: delivers to topics that begin with $"}},
		{"echoes where forward is absent", two(Connection{Subscribe: []Subscribe{{Topic: "cmd/#", LocalPrefix: "cloud/"}}}, none),
			[]string{"connections.a.subscribe[0]: brings back what local clients publish on cmd/#", readers}},
		{"brought twice", two(Connection{Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a"}}}, Connection{Broker: "mqtt://one", Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "#"}}}),
			[]string{readers, "connections.b.subscribe[0]: is stored", "connections.b.subscribe[0]: brings messages a second time: a.subscribe[0]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Connections: tt.connections}
			if err := c.SetDefaultsAndValidate(); err != nil {
				t.Fatal(err)
			}
			got := c.Surprises()
			for i, e := range got {
				if i >= len(tt.want) || !strings.HasPrefix(e.Error(), tt.want[i]) {
					t.Errorf("unexpected: %v", &e)
				}
			}
			if len(got) < len(tt.want) {
				t.Errorf("only %d of %q", len(got), tt.want)
			}
		})
	}
}

// A window for QoS 2 that a broker with its default settings does not have room for.
func TestSurpriseOfQoS2Window(t *testing.T) {
	for window, want := range map[int]int{1: 0, 20: 0, 21: 1} {
		c := Config{Connections: []Connection{{Name: "a", Broker: "mqtt://one", QoS2Window: window}}}
		if err := c.SetDefaultsAndValidate(); err != nil {
			t.Fatal(err)
		}
		if got := c.Surprises(); len(got) != want {
			t.Errorf("window %d: %v", window, got)
		}
	}
}

// S4.3: where incoming messages are stored, nobody may be there to whom they belong.
func TestSurprisesOfStoredIncoming(t *testing.T) {
	c := Config{Connections: []Connection{{Name: "a", Broker: "mqtt://one", Forward: []Forward{}, Subscribe: []Subscribe{{Topic: "a/#"}}}}}
	if err := c.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	c.Connections[0].Persist.Incoming = On
	if got := c.Surprises(); len(got) != 1 || !strings.Contains(got[0].Error(), "named subscriptions of programs only") {
		t.Errorf("%v", got)
	}
}
