//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// party is a gateway whose guests are to miss nothing of what speakers said.
type party struct {
	t        *testing.T
	rng      *rand.Rand
	gateway  *gateway
	speakers []*speaker
	guests   []*guest
	changed  pulse
}

// total is how many messages were acknowledged to speakers.
func (p *party) total() int {
	n := 0
	for _, s := range p.speakers {
		_, acked, _ := s.counts()
		n += acked
	}
	return n
}

// kills ends the gateway that often while each speaker publishes, at moments that
// are nobody's choice, now and then also while it starts.
func (p *party) kills(kills, each int) {
	for range kills {
		goal := p.total() + 1 + p.rng.IntN(len(p.speakers)*each/2)
		for _, s := range p.speakers {
			s.more(each)
		}
		await(p.t, &p.changed, "acknowledgements", func() bool { return p.total() >= goal })
		moment(odd(p.rng, 5*time.Millisecond))
		p.gateway.kill()
		if p.rng.IntN(3) == 0 {
			started := p.gateway.launch()
			select {
			case <-started.announced:
			case <-time.After(odd(p.rng, 60*time.Millisecond)):
			}
			p.gateway.kill()
		}
		p.gateway.start()
	}
}

// end lets all speakers finish and all guests stay, and says what those at the
// given QoS and above did not get.
func (p *party) end(stored byte) {
	p.t.Helper()
	await(p.t, &p.changed, "all acknowledgements", func() bool {
		for _, s := range p.speakers {
			if _, _, done := s.counts(); !done {
				return false
			}
		}
		return true
	})
	for _, g := range p.guests {
		g.stay()
	}
	// What they are to get has come when nothing waits for them any more.
	poll(p.t, 5*time.Millisecond, "nothing to wait for the guests", func() bool {
		all, err := p.gateway.running.statuses()
		if err != nil {
			p.t.Fatal(err)
		}
		local := all[len(all)-1]
		return local.Name == "_local" && local.Outgoing.Pending == 0 && all[0].Incoming.Pending == 0
	})
	for _, g := range p.guests {
		for _, s := range p.speakers {
			if n := g.missing(s); s.qos >= stored && n != 0 {
				p.t.Errorf("%s misses %d messages of speaker %d, at QoS %d", g.id, n, s.lane, s.qos)
			}
		}
		p.t.Log(g)
	}
	p.t.Logf("%d messages acknowledged", p.total())
}

// S5.4, Guarantee 15: the gateway is killed again and again while clients publish
// at every QoS and others come and go. What was acknowledged is delivered to every
// session, for the first time in order, and at QoS 2 nothing that is stored comes
// twice.
func TestSessionKills(t *testing.T) {
	rng := choices(t)
	p := &party{t: t, rng: rng}
	p.gateway = gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml",
		"data_dir: data\nmqtt: {listen: \"127.0.0.1:0\"}\nhttp: {listen: \"127.0.0.1:0\"}\nconnections: {cloud: {broker: \"mqtt://127.0.0.1:1\", forward: []}}\n"))
	p.gateway.start()
	for i, qos := range []byte{1, 1, 2, 2} {
		p.guests = append(p.guests, invite(t, &p.changed, fmt.Sprintf("guest-%d", i), qos, rng.Uint64(), true, p.gateway.target))
	}
	p.guests = append(p.guests, invite(t, &p.changed, "late-guest", 2, rng.Uint64(), false, p.gateway.target))
	p.speakers = speakTo(t, &p.changed, p.gateway.target, 0, 1, 1, 2, 2)
	p.kills(run.kills/2+1, 600)
	p.end(1)
}

// S2.4, S5.4: the gateway is killed again and again while a broker sends it what a
// session is to get whose client is away. What the broker has acknowledged to its
// publishers is delivered to the session, for the first time in order.
func TestUpstreamSessionKills(t *testing.T) {
	rng := choices(t)
	p := &party{t: t, rng: rng}
	source := mosquitto.Start(t, mosquitto.WithConfig("max_queued_messages 0", "max_inflight_messages 40"))
	p.gateway = gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml", fmt.Sprintf(`
data_dir: data
mqtt: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
connections: {%s: {broker: "mqtt://%s", forward: [], subscribe: [{topic: "#"}]}}
`, connectionName, source.Addr())))
	p.gateway.start()
	p.guests = []*guest{
		invite(t, &p.changed, "absent", 2, rng.Uint64(), false, p.gateway.target),
		invite(t, &p.changed, "now and then", 1, rng.Uint64(), true, p.gateway.target),
	}
	atSource := func(context.Context) (string, error) { return source.Addr(), nil }
	probe, _, err := connect(t.Context(), source.Addr(), "probe", true)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	poll(t, 5*time.Millisecond, "the gateway to subscribe", func() bool {
		if _, err := probe.ask(publishPacket("s/probe", []byte("probe"), 1), pubackType); err != nil {
			t.Fatal(err)
		}
		all, err := p.gateway.running.statuses()
		return err == nil && all[len(all)-1].Outgoing.Accepted > 0
	})
	p.speakers = speakTo(t, &p.changed, atSource, 1, 1, 2)
	p.kills(run.kills/2+1, 500)
	for _, s := range p.speakers {
		s.more(10) // whose arrival says that all before has arrived
	}
	await(t, &p.changed, "the last messages of the broker to be stored", func() bool {
		for _, s := range p.speakers {
			begun, _, done := s.counts()
			if !done || !p.guests[1].knows(s.lane, begun) {
				return false
			}
		}
		return true
	})
	p.end(1)
}
