//go:build unix

package links_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// Under load, the first broker of two goes away and comes back, several times:
// nothing is lost, each broker gets its messages in order, and only what was in
// flight when the first went away comes twice; going back costs nothing.
func TestFailOverUnderLoad(t *testing.T) {
	t.Parallel()
	const window, rounds = 50, 2
	first, second := mosquitto.Start(t), mosquitto.Start(t)
	n := newNetwork(t, first.Addr())
	at := []*subscriber{subscribe(t, first.Addr(), "t"), subscribe(t, second.Addr(), "t")}
	db := open(t, t.TempDir(), mqttdb.ConnectionConfig{
		Broker: "mqtt://" + n.addr(), Failover: []string{"mqtt://" + second.Addr()}, ClientID: "gw", Window: window,
	})
	linked := func(to string) func(mqttdb.Status) bool {
		return func(s mqttdb.Status) bool { return s.State == "online" && s.Broker == "mqtt://"+to }
	}
	await(t, db, "the first broker", linked(n.addr()))
	l := newLoad(t, db)
	for range rounds {
		l.more(200)
		n.cut()
		s := await(t, db, "the second broker", linked(second.Addr()))
		if !strings.Contains(s.LastError, "connection refused") || !strings.Contains(s.Hint, "gone back to") {
			t.Errorf("the status does not say why it is the second: %+v", s)
		}
		l.more(200)
		at[1].reaches(t, l.sentSoFar())
		_, before := tally(l.sentSoFar(), at[0].payloads(), at[1].payloads())
		n.restore()
		await(t, db, "the first broker again", linked(n.addr()))
		l.more(200)
		at[0].reaches(t, l.sentSoFar())
		if _, after := tally(l.sentSoFar(), at[0].payloads(), at[1].payloads()); after != before {
			t.Errorf("going back sent %d messages again", after-before)
		}
	}
	sent := l.stop()
	drain(t, db)
	at[0].reaches(t, sent)
	lost, twice := tally(sent, at[0].payloads(), at[1].payloads())
	t.Logf("%d sent in %d rounds: %d lost, %d twice", sent, rounds, lost, twice)
	if lost > 0 || twice > rounds*window {
		t.Errorf("of %d messages %d are lost and %d came twice", sent, lost, twice)
	}
	for i, s := range at {
		if !slices.IsSortedFunc(firsts(s.payloads()), func(a, b string) int { return atoi(t, a) - atoi(t, b) }) {
			t.Errorf("broker %d got them out of order", i)
		}
	}
}

// firsts is each payload once, where it came first.
func firsts(payloads []string) []string {
	seen := make(map[string]bool)
	return slices.DeleteFunc(slices.Clone(payloads), func(p string) bool {
		was := seen[p]
		seen[p] = true
		return was
	})
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Two ways to one broker are a cluster of one: the session goes on.
func TestSharedSession(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	n := newNetwork(t, b.Addr())
	db := open(t, t.TempDir(), mqttdb.ConnectionConfig{
		Broker: "mqtt://" + n.addr(), Failover: []string{"mqtt://" + b.Addr()}, ClientID: "gw", SharedSession: true,
	})
	await(t, db, "the first way", is("online"))
	n.cut()
	await(t, db, "the second way", func(s mqttdb.Status) bool { return s.State == "online" && s.Broker == "mqtt://"+b.Addr() })
	n.restore()
	await(t, db, "the first way again", func(s mqttdb.Status) bool { return s.State == "online" && s.Broker == "mqtt://"+n.addr() })
	closeDB(t, db)
	if clean, all := strings.Count(b.Log(), " as gw (p2, c1,"), strings.Count(b.Log(), " as gw (p2,"); clean != 1 || all != 4 {
		t.Errorf("%d of %d links had a clean session, want 1 of 4:\n%s", clean, all, b.Log())
	}
	if strings.Contains(b.Log(), "already connected") {
		t.Errorf("a link was taken over:\n%s", b.Log())
	}
}
