package config

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// twoWays are two brokers with a relay in both directions.
func twoWays(change func(a, b *Connection)) []Connection {
	c := []Connection{
		{Name: "a", Broker: "mqtt://one", Subscribe: []Subscribe{{Topic: "up/#"}}, Forward: []Forward{{Topic: "down/#", Relay: true}}},
		{Name: "b", Broker: "mqtt://two", Subscribe: []Subscribe{{Topic: "down/#"}}, Forward: []Forward{{Topic: "up/#", Relay: true}}},
	}
	change(&c[0], &c[1])
	return c
}

// S6.1: circles of relays are refused, and named.
func TestRelayCircles(t *testing.T) {
	tests := []struct {
		name        string
		connections []Connection
		circle      string // "": none
	}{
		{"two brokers, other topics in each direction", twoWays(func(a, b *Connection) {}), ""},
		{"two connections to one broker", twoWays(func(a, b *Connection) { b.Broker = "mqtt://ONE:1883" }),
			"a.subscribe[0] → b.forward[0] → a.subscribe[0]"},
		{"one of a list is the same broker", twoWays(func(a, b *Connection) { b.Failover = []string{"mqtt://one"} }),
			"a.subscribe[0] → b.forward[0] → a.subscribe[0]"},
		{"localhost is 127.0.0.1", twoWays(func(a, b *Connection) { a.Broker, b.Broker = "mqtt://localhost", "mqtt://127.0.0.1" }),
			"a.subscribe[0] → b.forward[0] → a.subscribe[0]"},
		{"one broker on two ports is two", twoWays(func(a, b *Connection) { b.Broker = "mqtt://one:1884" }), ""},
		{"one broker, apart by prefix", twoWays(func(a, b *Connection) {
			b.Broker, b.Forward[0].RemotePrefix = "mqtt://one", "relayed/"
			a.Forward = nil
		}), ""},
		{"without relay nothing goes round", twoWays(func(a, b *Connection) { b.Broker, b.Forward[0].Relay = "mqtt://one", false; a.Forward = nil }), ""},
		{"a bridge in both directions on the same topics", twoWays(func(a, b *Connection) {
			for _, c := range []*Connection{a, b} {
				c.Bridge, c.Subscribe, c.Forward = true, []Subscribe{{Topic: "#"}}, []Forward{{Topic: "#", Relay: true}}
			}
		}), ""},
		{"two bridges to one broker", twoWays(func(a, b *Connection) {
			for _, c := range []*Connection{a, b} {
				c.Broker, c.Bridge, c.Subscribe, c.Forward = "mqtt://one", true, []Subscribe{{Topic: "#"}}, []Forward{{Topic: "#", Relay: true}}
			}
		}), "a.subscribe[0] → b.forward[0] → a.subscribe[0]"},
		{"by way of another broker", []Connection{
			{Name: "a", Broker: "mqtt://one", Subscribe: []Subscribe{{Topic: "x/#"}}},
			{Name: "b", Broker: "mqtt://two", Forward: []Forward{{Topic: "#", Relay: true, RemotePrefix: "y/"}}},
			{Name: "c", Broker: "mqtt://two", Subscribe: []Subscribe{{Topic: "x/+", RemotePrefix: "y/", LocalPrefix: "back/"}}},
			{Name: "d", Broker: "mqtt://one", Forward: []Forward{{Topic: "x/1", Relay: true, LocalPrefix: "back/"}}},
		}, "a.subscribe[0] → b.forward[0] → c.subscribe[0] → d.forward[0] → a.subscribe[0]"},
		{"by way of another broker, not quite", []Connection{
			{Name: "a", Broker: "mqtt://one", Subscribe: []Subscribe{{Topic: "x/#"}}},
			{Name: "b", Broker: "mqtt://two", Forward: []Forward{{Topic: "#", Relay: true, RemotePrefix: "y/"}}},
			{Name: "c", Broker: "mqtt://two", Subscribe: []Subscribe{{Topic: "x/+", RemotePrefix: "y/", LocalPrefix: "back/"}}},
			{Name: "d", Broker: "mqtt://one", Forward: []Forward{{Topic: "z/1", Relay: true, LocalPrefix: "back/"}}},
		}, ""},
		{"topics grow on the way", []Connection{
			{Name: "a", Broker: "mqtt://one", Subscribe: []Subscribe{{Topic: "x/#"}}},
			{Name: "b", Broker: "mqtt://one", Forward: []Forward{{Topic: "#", Relay: true, RemotePrefix: "x/"}}},
		}, "a.subscribe[0] → b.forward[0] → a.subscribe[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Connections: tt.connections}
			err := c.SetDefaultsAndValidate()
			if len(tt.connections[1].Failover) > 0 { // which are not built yet
				var p problems
				checkRelays(&p, c.Connections)
				err = p.join()
			}
			switch {
			case tt.circle == "" && err != nil:
				t.Error(err)
			case tt.circle != "" && (err == nil || !strings.Contains(err.Error(), "relays in a circle: "+tt.circle)):
				t.Errorf("%v, want %s", err, tt.circle)
			}
		})
	}
}

// A configuration is refused if and only if some message comes in twice by one
// subscription, as found by sending messages round.
func TestRelayCirclesAreThose(t *testing.T) {
	var topics []string
	var build func(topic string, depth int)
	build = func(topic string, depth int) {
		topics = append(topics, topic)
		if depth > 1 {
			build(topic+"/a", depth-1)
			build(topic+"/b", depth-1)
		}
	}
	build("a", 6)
	build("b", 6)
	rnd := rand.New(rand.NewPCG(3, 4))
	circles, loops := 0, 0
	for range 3000 {
		connections := randomRelays(rnd)
		var p problems
		checkRelays(&p, connections)
		err := p.join()
		loop := findLoop(connections, topics)
		if (err != nil) != (loop != "") {
			t.Fatalf("%s\ncheck: %v\nby sending messages: %q", describeRelays(connections), err, loop)
		}
		if err != nil {
			circles++
		} else if relays(connections) {
			loops++
		}
	}
	if circles < 300 || loops < 300 {
		t.Errorf("%d of 3000 were circles, %d relays without: too few to mean something", circles, loops)
	}
}

func randomRelays(rnd *rand.Rand) []Connection {
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	filter := func() string { return pick("a", "b", "a/#", "b/#", "a/+", "+/b", "a/b", "+", "b/a/#", "+/a/+") }
	prefix := func() string { return pick("", "", "", "a/", "b/") }
	connections := make([]Connection, 2+rnd.IntN(3))
	for i := range connections {
		c := &connections[i]
		c.Name, c.Broker = fmt.Sprint("c", i), pick("mqtt://one", "mqtt://two")
		for range rnd.IntN(3) {
			c.Subscribe = append(c.Subscribe, Subscribe{Topic: filter(), LocalPrefix: prefix(), RemotePrefix: prefix()})
		}
		for range rnd.IntN(3) {
			c.Forward = append(c.Forward, Forward{Topic: filter(), LocalPrefix: prefix(), RemotePrefix: prefix(), Relay: rnd.IntN(4) > 0})
		}
	}
	return connections
}

// relays says whether any message is relayed at all.
func relays(connections []Connection) bool {
	return slices.ContainsFunc(connections, func(c Connection) bool {
		return slices.ContainsFunc(c.Forward, func(f Forward) bool { return f.Relay })
	})
}

// findLoop sends a message of each topic to each subscription, follows its copies
// as brokers and gateway pass them on, and returns the way of one that comes in
// again where it came in.
func findLoop(connections []Connection, topics []string) string {
	var come func(h hop, topic string, path []hop) string
	come = func(h hop, topic string, path []hop) string {
		if slices.Contains(path, h) {
			return fmt.Sprint(append(path, h), " ", topic)
		}
		path = append(slices.Clone(path), h)
		s := connections[h.connection].Subscribe[h.subscribe]
		local, ok := route{s.RemotePrefix + s.Topic, s.RemotePrefix, s.LocalPrefix}.apply(topic)
		if !ok {
			return ""
		}
		for b, to := range connections {
			for _, f := range to.Forward {
				remote, ok := route{f.LocalPrefix + f.Topic, f.LocalPrefix, f.RemotePrefix}.apply(local)
				if b == h.connection || !f.Relay || !ok {
					continue
				}
				for c, from := range connections {
					for j, s := range from.Subscribe {
						if c != b && from.Broker == to.Broker && types.Matches(s.RemotePrefix+s.Topic, remote) {
							if loop := come(hop{c, j}, remote, path); loop != "" {
								return loop
							}
						}
					}
				}
			}
		}
		return ""
	}
	for i, c := range connections {
		for j, s := range c.Subscribe {
			for _, topic := range topics {
				if types.Matches(s.RemotePrefix+s.Topic, topic) {
					if loop := come(hop{i, j}, topic, nil); loop != "" {
						return loop
					}
				}
			}
		}
	}
	return ""
}

func describeRelays(connections []Connection) string {
	var b strings.Builder
	for _, c := range connections {
		fmt.Fprintf(&b, "%s at %s\n", c.Name, c.Broker)
		for _, s := range c.Subscribe {
			fmt.Fprintf(&b, "  subscribe %s%s to %s%s\n", s.RemotePrefix, s.Topic, s.LocalPrefix, s.Topic)
		}
		for _, f := range c.Forward {
			fmt.Fprintf(&b, "  forward %s%s to %s%s, relay %v\n", f.LocalPrefix, f.Topic, f.RemotePrefix, f.Topic, f.Relay)
		}
	}
	return b.String()
}

// The intersection of two filters selects exactly what both do.
func TestIntersect(t *testing.T) {
	levels := []string{"a", "b", "", "+", "#", "$a"}
	var filters, topics []string
	var build func(s string, depth int)
	build = func(s string, depth int) {
		if types.CheckFilter(s) == nil {
			filters = append(filters, s)
		}
		if types.CheckTopic(s) == nil {
			topics = append(topics, s)
		}
		for _, l := range levels {
			if depth > 1 {
				build(s+"/"+l, depth-1)
			}
		}
	}
	for _, l := range levels {
		build(l, 3)
	}
	for _, a := range filters {
		for _, b := range filters {
			both, ok := intersect(a, b)
			for _, topic := range topics {
				if want := types.Matches(a, topic) && types.Matches(b, topic); want != (ok && types.Matches(both, topic)) {
					t.Fatalf("%q and %q make %q, %v: wrong for %q", a, b, both, ok, topic)
				}
			}
		}
	}
}
