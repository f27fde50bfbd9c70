package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkRelays complains about circles of relays (S6.1): what comes in by an
// entry of subscribe must not, relayed from connection to connection, come in by
// it again. One that is only made by prefixes growing or shrinking on the way is
// a circle, too. Brokers are the same if their addresses are; that one has
// several names, or passes messages on to another, is not known here.
func checkRelays(p *problems, connections []Connection) {
	w := relayWalk{connections: connections, seen: map[string]bool{}, told: map[string]bool{}}
	w.circle = func(at string, way []string) {
		p.add(at, "relays in a circle: "+strings.Join(way, " → ")+", and so on for ever",
			"relay to other topics than those that come in: give one of them a prefix, or take relay away")
	}
	for i := range connections {
		for j, s := range connections[i].Subscribe {
			w.arrive(hop{i, j}, s.RemotePrefix+s.Topic)
		}
	}
}

// hop is an entry of subscribe by which messages come in.
type hop struct{ connection, subscribe int }

// relayWalk follows messages from broker to broker.
type relayWalk struct {
	connections []Connection
	circle      func(at string, way []string)

	path []hop
	by   []relayed       // between them
	seen map[string]bool // hops with the topics that came in by them
	told map[string]bool // circles
}

// relayed is an entry of forward by which messages went out.
type relayed struct{ connection, forward int }

// arrive follows messages on the remote topics that filter selects, which come
// in by h.
func (w *relayWalk) arrive(h hop, filter string) {
	if i := slices.Index(w.path, h); i >= 0 {
		w.tell(i)
		return
	}
	key := fmt.Sprint(h, filter)
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	w.path = append(w.path, h)
	s := &w.connections[h.connection].Subscribe[h.subscribe]
	if local, ok := remap(filter, s.Topic, s.RemotePrefix, s.LocalPrefix); ok {
		w.leave(h.connection, local)
	}
	w.path = w.path[:len(w.path)-1]
}

// leave follows messages on local topics to all brokers that they are relayed to.
func (w *relayWalk) leave(from int, filter string) {
	for b := range w.connections {
		if b == from {
			continue // never back to where it came from
		}
		for k, f := range w.connections[b].Forward {
			if !f.Relay {
				continue
			}
			remote, ok := remap(filter, f.Topic, f.LocalPrefix, f.RemotePrefix)
			if !ok {
				continue
			}
			w.by = append(w.by, relayed{b, k})
			w.fanOut(b, remote)
			w.by = w.by[:len(w.by)-1]
		}
	}
}

// fanOut follows messages on remote topics to all who have subscribed to them at
// the broker of b. That b itself has is checked for each connection on its own.
func (w *relayWalk) fanOut(b int, filter string) {
	for c := range w.connections {
		if c == b || !sameBroker(&w.connections[b], &w.connections[c]) {
			continue
		}
		for j, s := range w.connections[c].Subscribe {
			if in, ok := intersect(filter, s.RemotePrefix+s.Topic); ok {
				w.arrive(hop{c, j}, in)
			}
		}
	}
}

// tell reports the circle that begins with the hop of this index, once.
func (w *relayWalk) tell(first int) {
	var way, parts []string
	for i := first; i <= len(w.path); i++ {
		h := w.path[first]
		if i < len(w.path) {
			h = w.path[i]
		}
		way = append(way, fmt.Sprintf("%s.subscribe[%d]", w.connections[h.connection].Name, h.subscribe))
		if i < len(w.path) {
			r := w.by[i]
			way = append(way, fmt.Sprintf("%s.forward[%d]", w.connections[r.connection].Name, r.forward))
			parts = append(parts, fmt.Sprint(h, r))
		}
	}
	slices.Sort(parts) // a circle is the same wherever one enters it
	key := strings.Join(parts, " ")
	if w.told[key] {
		return
	}
	w.told[key] = true
	r := w.by[len(w.by)-1]
	w.circle(fmt.Sprintf("%s.forward[%d]", connectionPath(w.connections, r.connection), r.forward), way)
}

// remap returns the filter of what becomes of the topics that filter selects and
// prefix + topic does, when replacement takes the place of prefix; false if there
// are none.
func remap(filter, topic, prefix, replacement string) (string, bool) {
	both, ok := intersect(filter, prefix+topic)
	if !ok {
		return "", false
	}
	rest, ok := strings.CutPrefix(both, prefix)
	return replacement + rest, ok && replacement+rest != ""
}

// intersect returns the filter that selects the topics that both select; false
// if there are none.
func intersect(a, b string) (string, bool) {
	if !overlap(a, b) {
		return "", false
	}
	var out []string
	for {
		al, arest, amore := strings.Cut(a, "/")
		bl, brest, bmore := strings.Cut(b, "/")
		switch {
		case al == "#":
			return strings.Join(append(out, b), "/"), true
		case bl == "#":
			return strings.Join(append(out, a), "/"), true
		case al == "+":
			out = append(out, bl)
		default:
			out = append(out, al)
		}
		if !amore || !bmore { // what is left of the other is # at most
			return strings.Join(out, "/"), true
		}
		a, b = arest, brest
	}
}

// sameBroker says whether two connections may lead to one broker, as far as
// their addresses tell.
func sameBroker(a, b *Connection) bool {
	for _, x := range a.addresses() {
		for _, y := range b.addresses() {
			if x == y {
				return true
			}
		}
	}
	return false
}

// addresses are the hosts and ports of the brokers of c.
func (c *Connection) addresses() []string {
	var list []string
	for _, b := range append([]string{c.Broker}, c.Failover...) {
		if u, err := ParseBroker(b); err == nil {
			host := strings.ToLower(u.Hostname())
			if ip := loopbackAddr(host); ip.IsValid() {
				host = ip.String()
			}
			list = append(list, host+":"+u.Port())
		}
	}
	return list
}
