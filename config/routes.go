package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Forward selects messages of local clients for the broker. A local topic that
// matches LocalPrefix + Topic gets RemotePrefix in place of LocalPrefix, as with
// mosquitto's bridges. An empty Topic with both prefixes maps one topic to
// another.
type Forward struct {
	Topic        string        `yaml:"topic"` // a topic filter
	LocalPrefix  string        `yaml:"local_prefix"`
	RemotePrefix string        `yaml:"remote_prefix"`
	QoS          QoS           `yaml:"qos"`      // default: keep that of the message
	TTL          time.Duration `yaml:"ttl"`      // how long after its acceptance it may be sent; 0s: for ever
	Relay        bool          `yaml:"relay"`    // also what came from another connection, but never back to it
	Envelope     Envelope      `yaml:"envelope"` // default none
}

// Subscribe selects messages of the broker for local clients. A remote topic
// that matches RemotePrefix + Topic gets LocalPrefix in place of RemotePrefix.
type Subscribe struct {
	Topic        string `yaml:"topic"` // a topic filter
	QoS          QoS    `yaml:"qos"`   // at most; default 1
	LocalPrefix  string `yaml:"local_prefix"`
	RemotePrefix string `yaml:"remote_prefix"`
	Retain       Retain `yaml:"retain"`
}

// Filter is what to subscribe to at the broker.
type Filter struct {
	Topic string
	QoS   types.QoS
}

// Routes maps messages on their way through one connection. It never changes
// and may be used concurrently.
type Routes struct {
	connection Connection
	forward    []route
	subscribe  []route
	implicit   bool // forward is everything but what subscribe delivers to
}

// route replaces the prefix of topics that match a filter, both given in the
// terms of the side that the message comes from.
type route struct {
	filter, prefix, replacement string
}

// Routes returns the routes of c, which must be valid.
func (c *Connection) Routes() *Routes {
	r := &Routes{connection: *c, implicit: c.Forward == nil}
	for _, f := range c.Forward {
		r.forward = append(r.forward, route{f.LocalPrefix + f.Topic, f.LocalPrefix, f.RemotePrefix})
	}
	for _, s := range c.Subscribe {
		r.subscribe = append(r.subscribe, route{s.RemotePrefix + s.Topic, s.RemotePrefix, s.LocalPrefix})
	}
	return r
}

// Forwarded is a message as it is to be queued for the broker: with the remote
// topic, and its QoS and retain flag as configured.
type Forwarded struct {
	types.Message
	Envelope Envelope // what it leaves in
}

// Forwards says whether m, which a local client published, is for the broker,
// and returns it as it is to be queued. The remote topic may be longer than MQTT
// allows: check it.
func (r *Routes) Forwards(m types.Message) (Forwarded, bool) {
	if r.implicit {
		if strings.HasPrefix(m.Topic, "$") || r.delivered(m.Topic) {
			return Forwarded{}, false
		}
		return Forwarded{Message: r.connection.Outgoing(m)}, true
	}
	return r.first(m, func(*Forward) bool { return true })
}

// Relays is Forwards for a message that came from another connection, under its
// local topic: only entries with Relay count, the others are passed over.
func (r *Routes) Relays(m types.Message) (Forwarded, bool) {
	return r.first(m, func(f *Forward) bool { return f.Relay })
}

// RelayFilters returns the filters of the local topics that entries with Relay
// select.
func (r *Routes) RelayFilters() []string {
	var list []string
	for i, f := range r.forward {
		if r.connection.Forward[i].Relay {
			list = append(list, f.filter)
		}
	}
	return list
}

// LocalFilters returns the filters of the local topics that Delivers maps to.
func (r *Routes) LocalFilters() []string {
	var list []string
	for _, s := range r.connection.Subscribe {
		list = append(list, s.LocalPrefix+s.Topic)
	}
	return list
}

// first applies the first entry of Forward that counts and matches.
func (r *Routes) first(m types.Message, counts func(*Forward) bool) (Forwarded, bool) {
	for i, f := range r.forward {
		entry := &r.connection.Forward[i]
		if !counts(entry) {
			continue
		}
		if topic, ok := f.apply(m.Topic); ok {
			m.Topic = topic
			m.QoS = entry.QoS.Of(m.QoS)
			m.Expiry = sooner(m.Expiry, entry.TTL)
			return Forwarded{r.connection.Outgoing(m), entry.Envelope}, true
		}
	}
	return Forwarded{}, false
}

// sooner is the shorter one of two times, of which 0 means for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// Delivers says whether m, which came from the broker, is for local clients,
// and returns it with the local topic, its QoS and retain flag as configured.
func (r *Routes) Delivers(m types.Message) (types.Message, bool) {
	for i, s := range r.subscribe {
		if topic, ok := s.apply(m.Topic); ok {
			m.Topic = topic
			m.QoS = min(m.QoS, r.connection.Subscribe[i].QoS.Of(m.QoS))
			m.Retain = m.Retain && r.connection.Subscribe[i].Retain == RetainKeep
			return m, true
		}
	}
	return m, false
}

// Filters returns what to subscribe to at the broker.
func (r *Routes) Filters() []Filter {
	filters := make([]Filter, len(r.subscribe))
	for i, s := range r.subscribe {
		filters[i] = Filter{s.filter, r.connection.Subscribe[i].QoS.Of(2)}
	}
	return filters
}

// Echo says whether the broker would send back some of what is forwarded to it,
// unless it knows that this is a bridge.
func (r *Routes) Echo() bool { return len(r.connection.echoes()) > 0 }

// delivered says whether messages of the broker may arrive on the local topic.
func (r *Routes) delivered(topic string) bool {
	for _, s := range r.connection.Subscribe {
		if types.Matches(s.LocalPrefix+s.Topic, topic) {
			return true
		}
	}
	return false
}

// Outgoing returns m as the connection sends it, whoever gave it: with MaxQoS
// and Retain obeyed.
func (c *Connection) Outgoing(m types.Message) types.Message {
	m.QoS = min(m.QoS, c.MaxQoS.Of(2))
	m.Retain = m.Retain && c.Retain == RetainKeep
	return m
}

// apply maps topic. "a/#" selects "a" too [MQTT-4.7.1.2], which has no place
// behind the prefix "a/" and is therefore not mapped; nor is what would become
// an empty topic.
func (r route) apply(topic string) (string, bool) {
	rest, ok := strings.CutPrefix(topic, r.prefix)
	if !ok || !types.Matches(r.filter, topic) || r.replacement+rest == "" {
		return "", false
	}
	return r.replacement + rest, true
}

func (c *Connection) checkRoutes(p *problems, path string) {
	locals, remotes := map[string][]int{}, map[string]int{}
	for i, f := range c.Forward {
		at := fmt.Sprintf("%s.forward[%d]", path, i)
		checkRoute(p, at, f.Topic, f.LocalPrefix, f.RemotePrefix)
		f.QoS.check(p, at+".qos", true)
		p.duration(at+".ttl", f.TTL, 0, 10*365*24*time.Hour)
		checkChoice(p, at+".envelope", f.Envelope)
		for _, first := range locals[f.LocalPrefix+f.Topic] {
			if c.Forward[first].Relay || !f.Relay { // else it is for what comes from other connections
				p.add(at, fmt.Sprintf("is never used: forward[%d] selects the same topics", first), "remove one of them")
				break
			}
		}
		locals[f.LocalPrefix+f.Topic] = append(locals[f.LocalPrefix+f.Topic], i)
	}
	for i, s := range c.Subscribe {
		at := fmt.Sprintf("%s.subscribe[%d]", path, i)
		checkRoute(p, at, s.Topic, s.LocalPrefix, s.RemotePrefix)
		s.QoS.check(p, at+".qos", false)
		checkChoice(p, at+".retain", s.Retain)
		if first, ok := remotes[s.RemotePrefix+s.Topic]; ok {
			p.add(at, fmt.Sprintf("is never used: subscribe[%d] selects the same topics", first), "remove one of them")
		} else {
			remotes[s.RemotePrefix+s.Topic] = i
		}
	}
	if !c.Bridge {
		c.checkEchoes(p, path)
	}
}

// checkEchoes complains where the broker would send back what is forwarded to
// it (S6.1).
func (c *Connection) checkEchoes(p *problems, path string) {
	for _, e := range c.echoes() {
		p.add(fmt.Sprintf("%s.forward[%d]", path, e.forward),
			fmt.Sprintf("the broker would send back what is forwarded, since subscribe[%d] asks for the same topics", e.subscribe),
			"give one of them a remote_prefix or another topic, or set bridge: true if the broker knows of bridges")
	}
}

// echo is a pair of entries that select the same topics at the broker.
type echo struct{ forward, subscribe int }

func (c *Connection) echoes() []echo {
	var list []echo
	for i, f := range c.Forward {
		for j, s := range c.Subscribe {
			if overlap(f.RemotePrefix+f.Topic, s.RemotePrefix+s.Topic) {
				list = append(list, echo{i, j})
			}
		}
	}
	return list
}

// checkRoute checks the filter on its own, so that the error names what was
// written, and then what becomes of it behind each prefix.
func checkRoute(p *problems, path, topic, local, remote string) {
	if topic != "" || local == "" || remote == "" {
		if err := types.CheckFilter(topic); err != nil {
			p.add(path+".topic", err.Error(), "")
			return
		}
	}
	for _, prefix := range []struct{ key, text string }{{".local_prefix", local}, {".remote_prefix", remote}} {
		if strings.ContainsAny(prefix.text, "+#") {
			p.add(path+prefix.key, "contains a wildcard, which belongs in topic", "")
		} else if err := types.CheckFilter(prefix.text + topic); err != nil {
			p.add(path+prefix.key, "cannot stand before this topic: "+err.Error(), "end the prefix with /")
		}
	}
}

// overlap says whether some topic matches both filters; the empty one counts,
// which MQTT does not have, but only + and /# share nothing else.
func overlap(a, b string) bool {
	if (a[:min(1, len(a))] == "$") != (b[:min(1, len(b))] == "$") {
		return false // wildcards do not select $-topics [MQTT-4.7.2-1]
	}
	for {
		al, arest, amore := strings.Cut(a, "/")
		bl, brest, bmore := strings.Cut(b, "/")
		switch {
		case al == "#" || bl == "#":
			return true
		case al != bl && al != "+" && bl != "+":
			return false
		case !amore && !bmore:
			return true
		case !amore:
			return brest == "#"
		case !bmore:
			return arest == "#"
		}
		a, b = arest, brest
	}
}
