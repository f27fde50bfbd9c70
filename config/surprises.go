package config

import (
	"fmt"
	"strings"
)

// Surprises says what a valid configuration does that its author may not expect:
// no mistakes, but worth a look. Paths are those of the settings.
func (c *Config) Surprises() []Error {
	s := surprises{connections: c.Connections}
	for i := range c.Connections {
		s.forwards(i)
		s.subscribes(i)
	}
	s.limits(c)
	s.http(&c.HTTP)
	return s.found
}

// http warns of a token that goes over the network for everybody to read.
func (s *surprises) http(h *HTTP) {
	if h.TokenFile != "" && h.TLS.CertFile == "" && !Loopback(h.Listen) {
		s.add("http.listen", "can be reached from other machines, and the token goes there in clear text", "set http.tls, or listen on 127.0.0.1 behind a proxy that speaks TLS")
	}
}

type surprises struct {
	connections []Connection
	found       []Error
}

func (s *surprises) add(path, msg, hint string) { s.found = append(s.found, Error{path, msg, hint}) }

func (s *surprises) at(i int, list string, k int) string {
	return fmt.Sprintf("%s.%s[%d]", connectionPath(s.connections, i), list, k)
}

// local and remote are the filters of an entry on each side.
func (f *Forward) local() string    { return f.LocalPrefix + f.Topic }
func (f *Forward) remote() string   { return f.RemotePrefix + f.Topic }
func (s *Subscribe) local() string  { return s.LocalPrefix + s.Topic }
func (s *Subscribe) remote() string { return s.RemotePrefix + s.Topic }

// covers says whether a selects everything that b does.
func covers(a, b string) bool {
	both, ok := intersect(a, b)
	return ok && both == b
}

func (s *surprises) forwards(i int) {
	c := &s.connections[i]
	for k := range c.Forward {
		f, at := &c.Forward[k], s.at(i, "forward", k)
		for n := range k {
			if e := &c.Forward[n]; covers(e.local(), f.local()) && (e.Relay || !f.Relay) {
				s.add(at, fmt.Sprintf("is never used: forward[%d] selects all of its topics, and comes first", n), "put it first, or remove it")
				break
			}
		}
		if strings.HasPrefix(f.local(), "$SYS/") || strings.HasPrefix(f.local(), "$mqttdb/") {
			s.add(at, "selects topics to which local clients cannot publish", "remove it")
		}
		if strings.HasPrefix(f.remote(), "$") {
			s.add(at, "forwards to topics that begin with $, which most brokers do not take", "give it a remote_prefix")
		}
		if f.QoS >= QoS0 && f.QoS <= QoS2 && f.QoS > c.MaxQoS {
			s.add(at, fmt.Sprintf("asks for QoS %v, but max_qos lowers that to %v", f.QoS, c.MaxQoS), "")
		}
		if f.Relay && !s.brought(i, f.local()) {
			s.add(at, "relays nothing: no other connection subscribes to something that comes in on its topics", "check the prefixes, or take relay away")
		}
		s.twice(i, k)
	}
	if c.Retain == RetainClear && (c.Forward == nil || len(c.Forward) > 0) {
		s.add(connectionPath(s.connections, i)+".retain", "is clear: who subscribes at the broker later does not get retained messages of local clients", "")
	}
	if c.QoS2Window > DefaultQoS2Window && c.MaxQoS.Of(2) == 2 {
		s.add(connectionPath(s.connections, i)+".qos2_window", fmt.Sprintf("lets more than %d messages with QoS 2 be in flight: mosquitto 2.0 acknowledges what is above its max_inflight_messages, %d unless it was changed, and drops it", DefaultQoS2Window, DefaultQoS2Window), "raise that on the broker first, or leave it at 20")
	}
	if c.KeepSent > 0 && c.Persist.Outgoing == Off {
		s.add(connectionPath(s.connections, i)+".keep_sent", "keeps what was sent in memory, as persist.outgoing says: a restart forgets it, and the oldest goes when max_bytes is reached", "")
	}
	s.implicitEchoes(i)
}

// twice finds other connections by which the same messages go to the same topics
// of the same broker.
func (s *surprises) twice(i, k int) {
	f := &s.connections[i].Forward[k]
	for o := range i {
		other := &s.connections[o]
		if !sameBroker(other, &s.connections[i]) {
			continue
		}
		for n := range other.Forward {
			g := &other.Forward[n]
			both, ok := intersect(f.local(), g.local())
			if !ok {
				continue
			}
			mine, one := remap(both, f.Topic, f.LocalPrefix, f.RemotePrefix)
			its, two := remap(both, g.Topic, g.LocalPrefix, g.RemotePrefix)
			if one && two && overlap(mine, its) {
				s.add(s.at(i, "forward", k), fmt.Sprintf("sends messages a second time: %s.forward[%d] sends them to the same topics of the same broker", other.Name, n), "remove one of them")
			}
		}
	}
}

// implicitEchoes finds what the broker sends back where forward is absent: not
// for ever, since it comes in on topics that are not forwarded.
func (s *surprises) implicitEchoes(i int) {
	c := &s.connections[i]
	if c.Forward != nil || c.Bridge {
		return
	}
	for k := range c.Subscribe {
		if e := &c.Subscribe[k]; e.local() != e.remote() {
			s.add(s.at(i, "subscribe", k), fmt.Sprintf("brings back what local clients publish on %s, for forward is absent and everything is forwarded", e.remote()), "say in forward what is to go to the broker, or set bridge: true")
		}
	}
}

// brought says whether another connection than i brings messages on local topics
// that filter selects.
func (s *surprises) brought(i int, filter string) bool {
	for o := range s.connections {
		for k := range s.connections[o].Subscribe {
			if o != i && overlap(s.connections[o].Subscribe[k].local(), filter) {
				return true
			}
		}
	}
	return false
}

func (s *surprises) subscribes(i int) {
	c := &s.connections[i]
	for k := range c.Subscribe {
		e, at := &c.Subscribe[k], s.at(i, "subscribe", k)
		shadowed := false
		for n := range k {
			switch first := &c.Subscribe[n]; {
			case covers(first.remote(), e.remote()):
				shadowed = true
				s.add(at, fmt.Sprintf("is never used: subscribe[%d] selects all of its topics, and comes first", n), "put it first, or remove it")
			case overlap(first.remote(), e.remote()):
				s.add(at, fmt.Sprintf("selects topics that subscribe[%d] selects, too: some brokers send such messages twice", n), "make their topics differ")
			default:
				continue
			}
			break
		}
		if !shadowed {
			s.readers(i, k, at)
		}
		if strings.HasPrefix(e.local(), "$") && !strings.HasPrefix(e.local(), "$share/") {
			s.add(at, "delivers to topics that begin with $: local clients get them only if they name them so, not by a wildcard", "give it a local_prefix")
		}
		for o := range i {
			for n := range s.connections[o].Subscribe {
				if other := &s.connections[o]; sameBroker(other, c) && overlap(other.Subscribe[n].remote(), e.remote()) && overlap(other.Subscribe[n].local(), e.local()) {
					s.add(at, fmt.Sprintf("brings messages a second time: %s.subscribe[%d] brings them from the same broker", other.Name, n), "remove one of them")
				}
			}
		}
	}
}

// readers says who gets what an entry of subscribe brings, if that may be less
// than expected.
func (s *surprises) readers(i, k int, at string) {
	e := &s.connections[i].Subscribe[k]
	relayed := false
	for o := range s.connections {
		other := &s.connections[o]
		if o == i {
			continue
		}
		for n := range other.Forward {
			f := &other.Forward[n]
			if !overlap(f.local(), e.local()) {
				continue
			}
			if f.Relay {
				relayed = true
				if e.QoS == QoS0 {
					s.add(at, fmt.Sprintf("asks for QoS 0: what %s.forward[%d] relays of it may be lost on the way here", other.Name, n), "set its qos to 1")
				}
				continue
			}
			s.add(at, fmt.Sprintf("brings messages on topics that %s.forward[%d] selects, but does not forward, since it is no relay", other.Name, n), "set relay: true there, or give one of them a prefix")
		}
	}
	switch {
	case relayed:
	case s.connections[i].Persist.Incoming == On:
		s.add(at, "is stored for persistent sessions of local clients and named subscriptions of programs only: while nobody has one on its topics, others get what it brings if they are subscribed, and it is not kept", "")
	default:
		s.add(at, "is stored for persistent sessions of local clients only: others get what it brings while they are subscribed", "")
	}
}
