package config

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

func TestForwards(t *testing.T) {
	prefixed := []Forward{{Topic: "sensors/#", RemotePrefix: "site1/"}, {Topic: "#", LocalPrefix: "alarms/", RemotePrefix: "x/", QoS: QoS0}}
	tests := []struct {
		name      string
		forward   []Forward
		subscribe []Subscribe
		topic     string
		want      string // "": not forwarded
	}{
		{"absent", nil, nil, "a/b", "a/b"},
		{"absent, dollar", nil, nil, "$SYS/x", ""},
		{"absent, delivered by subscribe", nil, []Subscribe{{Topic: "cmd/#"}}, "cmd/x", ""},
		{"absent, parent of what subscribe delivers", nil, []Subscribe{{Topic: "cmd/#"}}, "cmd", ""},
		{"absent, beside subscribe", nil, []Subscribe{{Topic: "cmd/#"}}, "sensors/x", "sensors/x"},
		{"absent, subscribe delivers elsewhere", nil, []Subscribe{{Topic: "cmd/#", LocalPrefix: "cloud/"}}, "cmd/x", "cmd/x"},
		{"absent, subscribe delivers there", nil, []Subscribe{{Topic: "cmd/#", LocalPrefix: "cloud/"}}, "cloud/cmd/x", ""},
		{"empty", []Forward{}, nil, "a", ""},
		{"remote prefix", prefixed, nil, "sensors/t", "site1/sensors/t"},
		{"both prefixes", prefixed, nil, "alarms/a/b", "x/a/b"},
		{"no match", prefixed, nil, "other", ""},
		{"parent of the pattern", prefixed, nil, "sensors", "site1/sensors"},
		{"parent of the prefix has no place behind it", prefixed, nil, "alarms", ""},
		{"prefix alone", prefixed, nil, "alarms/", "x/"},
		{"would be empty", []Forward{{Topic: "#", LocalPrefix: "a/"}}, nil, "a/", ""},
		{"prefix taken away", []Forward{{Topic: "#", LocalPrefix: "a/"}}, nil, "a/b", "b"},
		{"first of two", []Forward{{Topic: "a/b", RemotePrefix: "1/"}, {Topic: "a/#", RemotePrefix: "2/"}}, nil, "a/b", "1/a/b"},
		{"second of two", []Forward{{Topic: "a/b", RemotePrefix: "1/"}, {Topic: "a/#", RemotePrefix: "2/"}}, nil, "a/c", "2/a/c"},
		{"dollar is not under a wildcard", []Forward{{Topic: "#"}}, nil, "$SYS/x", ""},
		{"dollar by name", []Forward{{Topic: "$SYS/#"}}, nil, "$SYS/x", "$SYS/x"},
		{"dollar by prefix", []Forward{{Topic: "#", LocalPrefix: "$SYS/", RemotePrefix: "gw/"}}, nil, "$SYS/x", "gw/x"},
		{"dollar behind the prefix", []Forward{{Topic: "#", LocalPrefix: "a/"}}, nil, "a/$x", "$x"},
		{"one topic to another", []Forward{{LocalPrefix: "a/b", RemotePrefix: "c"}}, nil, "a/b", "c"},
		{"one topic, another is longer", []Forward{{LocalPrefix: "a/b", RemotePrefix: "c"}}, nil, "a/bc", ""},
		{"plus", []Forward{{Topic: "+/state", LocalPrefix: "gw/", RemotePrefix: "s/"}}, nil, "gw/1/state", "s/1/state"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Connections: []Connection{{Name: "c", Broker: "mqtt://h", Forward: tt.forward, Subscribe: tt.subscribe}}}
			if err := c.SetDefaultsAndValidate(); err != nil {
				t.Fatal(err)
			}
			m, ok := c.Connections[0].Routes().Forwards(types.Message{Topic: tt.topic})
			if ok != (tt.want != "") || ok && m.Topic != tt.want {
				t.Errorf("%q becomes %q, %v; want %q", tt.topic, m.Topic, ok, tt.want)
			}
		})
	}
}

func TestForwardsQoSAndRetain(t *testing.T) {
	tests := []struct {
		name   string
		qos    QoS
		max    QoS
		retain Retain
		given  types.QoS
		want   types.QoS
	}{
		{"keep", QoSKeep, QoS1, RetainKeep, 0, 0},
		{"keep 1", QoSKeep, QoS1, RetainKeep, 1, 1},
		{"max_qos", QoSKeep, QoS1, RetainKeep, 2, 1},
		{"max_qos 0", QoSKeep, QoS0, RetainKeep, 1, 0},
		{"raised", QoS1, QoS1, RetainKeep, 0, 1},
		{"lowered", QoS0, QoS1, RetainClear, 1, 0},
		{"max_qos above qos", QoS1, QoS0, RetainClear, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Connection{Forward: []Forward{{Topic: "#", QoS: tt.qos}}, MaxQoS: tt.max, Retain: tt.retain}
			m, ok := c.Routes().Forwards(types.Message{Topic: "a", QoS: tt.given, Retain: true, Payload: []byte("p")})
			if !ok || m.QoS != tt.want || m.Retain != (tt.retain == RetainKeep) || string(m.Payload) != "p" {
				t.Errorf("%+v, %v", m, ok)
			}
		})
	}
}

func TestDelivers(t *testing.T) {
	c := Config{Connections: []Connection{{Name: "c", Broker: "mqtt://h", Forward: []Forward{}, Subscribe: []Subscribe{
		{Topic: "cmd/#", RemotePrefix: "site1/", LocalPrefix: "cloud/", QoS: QoS0},
		{Topic: "cfg", Retain: RetainClear},
	}}}}
	if err := c.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	r := c.Connections[0].Routes()
	if got, want := fmt.Sprint(r.Filters()), "[{site1/cmd/# 0} {cfg 1}]"; got != want {
		t.Errorf("filters %s, want %s", got, want)
	}
	tests := []struct {
		topic, want string
		qos         types.QoS
		retain      bool
	}{
		{"site1/cmd/x", "cloud/cmd/x", 0, true},
		{"site1/cmd", "cloud/cmd", 0, true},
		{"cfg", "cfg", 1, false},
		{"site1/cfg", "", 0, false},
		{"cmd/x", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.topic, func(t *testing.T) {
			m, ok := r.Delivers(types.Message{Topic: tt.topic, QoS: 1, Retain: true})
			if ok != (tt.want != "") || ok && (m.Topic != tt.want || m.QoS != tt.qos || m.Retain != tt.retain) {
				t.Errorf("%+v, %v", m, ok)
			}
		})
	}
}

func TestCheckRoutes(t *testing.T) {
	tests := []struct {
		name      string
		forward   []Forward
		subscribe []Subscribe
		path      string
	}{
		{"empty topic", []Forward{{}}, nil, "connections.c.forward[0].topic"},
		{"bad filter", []Forward{{Topic: "a#"}}, nil, "connections.c.forward[0].topic"},
		{"prefix without slash", []Forward{{Topic: "#", LocalPrefix: "a"}}, nil, "connections.c.forward[0].local_prefix"},
		{"remote prefix without slash", []Forward{{Topic: "+/x", RemotePrefix: "a"}}, nil, "connections.c.forward[0].remote_prefix"},
		{"wildcard in a prefix", nil, []Subscribe{{Topic: "a", LocalPrefix: "+/"}}, "connections.c.subscribe[0].local_prefix"},
		{"never used", []Forward{{Topic: "b/a"}, {Topic: "a", LocalPrefix: "b/"}}, nil, "connections.c.forward[1]"},
		{"subscribed twice", []Forward{}, []Subscribe{{Topic: "a"}, {Topic: "a", LocalPrefix: "b/"}}, "connections.c.subscribe[1]"},
		{"subscribe keep", nil, []Subscribe{{Topic: "a", QoS: QoSKeep}}, "connections.c.subscribe[0].qos"},
		{"echo", []Forward{{Topic: "#"}}, []Subscribe{{Topic: "cmd/+"}}, "connections.c.forward[0]"}, // S6.1
		{"echo by prefix", []Forward{{Topic: "#", RemotePrefix: "s/"}}, []Subscribe{{Topic: "x", RemotePrefix: "s/"}}, "connections.c.forward[0]"},
		{"apart by prefix", []Forward{{Topic: "#", RemotePrefix: "up/"}}, []Subscribe{{Topic: "#", RemotePrefix: "down/"}}, ""},
		{"implicit forward", nil, []Subscribe{{Topic: "cmd/#"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Connections: []Connection{{Name: "c", Broker: "mqtt://h", Forward: tt.forward, Subscribe: tt.subscribe}}}
			expect(t, c.SetDefaultsAndValidate(), tt.path)
		})
	}
}

// Two filters overlap exactly if some topic of their levels matches both.
func TestOverlap(t *testing.T) {
	levels := []string{"a", "b", "", "+", "#", "$a"}
	topics, filters := []string{""}, []string{}
	var build func(prefix []string)
	build = func(prefix []string) {
		if len(prefix) > 0 {
			s := strings.Join(prefix, "/")
			if types.CheckTopic(s) == nil {
				topics = append(topics, s)
			}
			if types.CheckFilter(s) == nil && len(prefix) < 4 {
				filters = append(filters, s)
			}
		}
		if len(prefix) == 4 {
			return
		}
		for _, l := range levels {
			build(append(slices.Clone(prefix), l))
		}
	}
	build(nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	common := 0
	for range 20000 {
		a, b := filters[rnd.IntN(len(filters))], filters[rnd.IntN(len(filters))]
		want := slices.ContainsFunc(topics, func(topic string) bool { return types.Matches(a, topic) && types.Matches(b, topic) })
		if got := overlap(a, b); got != want {
			t.Fatalf("overlap(%q, %q) = %v", a, b, got)
		}
		if want {
			common++
		}
	}
	if common < 1000 {
		t.Errorf("only %d pairs overlapped", common)
	}
}

func BenchmarkForwards(b *testing.B) {
	c := Connection{Forward: []Forward{{Topic: "a/#"}, {Topic: "sensors/+/t", LocalPrefix: "gw/", RemotePrefix: "site1/"}}}
	r := c.Routes()
	for b.Loop() {
		r.Forwards(types.Message{Topic: "gw/sensors/17/t", QoS: 1})
	}
}
