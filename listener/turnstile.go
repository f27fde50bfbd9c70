package listener

import (
	"net/netip"
	"slices"
	"sync"
)

// turnstile lets few pass at a time, and those who wait in turns by the host
// that they come from: whoever brings many waits behind himself, not others
// behind him. It may be used concurrently.
type turnstile struct {
	mu      sync.Mutex
	free    int // how many may pass now
	room    int // how many more may wait
	waiting map[netip.Addr][]*ticket
	turns   []netip.Addr // the hosts in waiting, the next one first
}

// ticket is a place in the line.
type ticket struct {
	host   netip.Addr
	called chan bool // 1 deep: true when it is its turn, false when it lost its place
	passes bool      // it is its turn
}

func (k *ticket) pass() {
	k.passes = true
	k.called <- true
}

func newTurnstile(passing, waiting int) *turnstile {
	return &turnstile{free: passing, room: waiting, waiting: map[netip.Addr][]*ticket{}}
}

// enter takes a place in the line. If there is none left, whoever came last of
// the host that has the most loses his.
func (t *turnstile) enter(host netip.Addr) *ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := &ticket{host: host, called: make(chan bool, 1)}
	if t.free > 0 { // then nobody waits
		t.free--
		k.pass()
		return k
	}
	line := append(t.waiting[host], k)
	t.waiting[host] = line
	if len(line) == 1 {
		t.turns = append(t.turns, host)
	}
	if t.room > 0 {
		t.room--
		return k
	}
	most := host
	for h, line := range t.waiting {
		if len(line) > len(t.waiting[most]) {
			most = h
		}
	}
	line = t.waiting[most]
	last := line[len(line)-1]
	t.remove(last)
	last.called <- false
	return k
}

// remove takes k out of the line, if it is in it.
func (t *turnstile) remove(k *ticket) bool {
	line := t.waiting[k.host]
	i := slices.Index(line, k)
	if i < 0 {
		return false
	}
	if line = slices.Delete(line, i, i+1); len(line) > 0 {
		t.waiting[k.host] = line
		return true
	}
	delete(t.waiting, k.host)
	t.turns = slices.DeleteFunc(t.turns, func(h netip.Addr) bool { return h == k.host })
	return true
}

// leave gives up a place in the line, or the turn: then the next one is called.
func (t *turnstile) leave(k *ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.remove(k) {
		t.room++
	}
	if !k.passes {
		return
	}
	if len(t.turns) == 0 {
		t.free++
		return
	}
	host := t.turns[0]
	next := t.waiting[host][0]
	t.remove(next)
	t.room++
	if len(t.waiting[host]) > 0 { // behind the others
		t.turns = append(slices.DeleteFunc(t.turns, func(h netip.Addr) bool { return h == host }), host)
	}
	next.pass()
}

// hostOf is the host of an address, as a turnstile counts hosts: of IPv6 the
// network, because a single machine has all its addresses.
func hostOf(address string) netip.Addr {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	host := a.Addr().Unmap()
	if host.Is6() {
		network, _ := host.WithZone("").Prefix(64) // 64 bits of an IPv6 address are a prefix
		host = network.Addr()
	}
	return host
}
