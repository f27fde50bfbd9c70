package listener

import (
	"net/netip"
	"testing"
)

// takes says whether it is the turn of k.
func takes(k *ticket) bool {
	select {
	case mine := <-k.called:
		return mine
	default:
		return false
	}
}

func TestTurnstileGoesRoundTheHosts(t *testing.T) {
	line := newTurnstile(1, 100)
	a, b := hostOf("192.0.2.1:1"), hostOf("192.0.2.2:1")
	now := line.enter(a)
	if !takes(now) {
		t.Fatal("an empty turnstile lets nobody pass")
	}
	tickets := []*ticket{line.enter(a), line.enter(a), line.enter(a), line.enter(b), line.enter(b)}
	line.leave(tickets[1]) // gives up
	var order []int
	for range 4 {
		line.leave(now)
		for i, k := range tickets {
			if takes(k) {
				order = append(order, i)
				now = k
			}
		}
	}
	if len(order) != 4 || order[0] != 0 || order[1] != 3 || order[2] != 2 || order[3] != 4 {
		t.Errorf("in the order %v", order)
	}
	line.leave(now)
	if line.free != 1 || line.room != 100 || len(line.waiting) != 0 || len(line.turns) != 0 {
		t.Errorf("left %+v", line)
	}
}

// When there is no place left, the host with the most loses its last.
func TestTurnstileIsBounded(t *testing.T) {
	line := newTurnstile(1, 3)
	line.enter(hostOf("192.0.2.9:1"))
	a, b := hostOf("192.0.2.1:1"), hostOf("192.0.2.2:1")
	first := []*ticket{line.enter(a), line.enter(a), line.enter(a)}
	other := line.enter(b)
	if len(first[2].called) != 1 || <-first[2].called {
		t.Error("the last of the host with the most keeps its place")
	}
	if len(other.called)+len(first[0].called)+len(first[1].called) != 0 {
		t.Error("others were called")
	}
	line.leave(first[2]) // that it lost its place frees nothing
	if line.free != 0 || line.room != 0 {
		t.Errorf("%d are free, room for %d", line.free, line.room)
	}
	more := line.enter(a) // of three, of which a has two before and three now
	if len(more.called) != 1 || <-more.called {
		t.Error("the newest of the host with the most keeps a place")
	}
}

func TestHosts(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::", "[fe80::1%eth0]:1": "fe80::",
	} {
		if got := hostOf(address); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v", address, got)
		}
	}
	if hostOf("pipe").IsValid() {
		t.Error("a pipe has a host")
	}
}
