package listener

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
)

// publisher is a client that publishes at QoS 2 as the standard says: what is not
// complete it goes on with on the next connection, in order [MQTT-4.4.0-1].
type publisher struct {
	rng     *rand.Rand
	version byte
	dup     bool // it sets DUP, as not all do
	sent    []sending
	open    []sending // without PUBCOMP, in order
	lastID  uint16
}

// sending is a message of a publisher.
type sending struct {
	id       uint16
	topic    string
	text     string
	recorded bool // PUBREC came
}

const (
	publisherIDs    = 6 // so few that they are used again all the time
	publisherWindow = 4
)

// next begins with a message whose content was there before, mostly.
func (p *publisher) next() sending {
	for taken := true; taken; {
		p.lastID = p.lastID%publisherIDs + 1
		taken = slices.ContainsFunc(p.open, func(s sending) bool { return s.id == p.lastID })
	}
	s := sending{id: p.lastID, topic: []string{"t/x", "a/x", "b/x"}[p.rng.IntN(3)], text: fmt.Sprint(p.rng.IntN(3))}
	p.sent, p.open = append(p.sent, s), append(p.open, s)
	return s
}

// expected is what is to be in the queue of a connection.
func (p *publisher) expected(connection string) string {
	var texts []string
	for _, s := range p.sent {
		if s.topic == "t/x" || s.topic == connection+"/x" {
			texts = append(texts, s.text)
		}
	}
	return strings.Join(texts, " ")
}

// talk publishes until that many messages were begun and all are complete, or the
// connection ends; it says which.
func (p *publisher) talk(c *rawClient, goal int) (complete bool) {
	send := func(b []byte) bool { _, err := c.Write(b); return err == nil }
	publish := func(s sending, dup bool) bool {
		return send(publishPacket(p.version, s.topic, []byte(s.text), 2, s.id, dup, false))
	}
	for _, s := range p.open {
		if s.recorded && !send(ackPacket(pubrelKind, s.id)) || !s.recorded && !publish(s, p.dup) {
			return false
		}
	}
	for {
		for len(p.open) < publisherWindow && len(p.sent) < goal {
			if !publish(p.next(), false) {
				return false
			}
		}
		if len(p.open) == 0 {
			return true
		}
		first, body, err := c.tryRead()
		if err != nil {
			return false
		}
		id := binary.BigEndian.Uint16(body)
		i := slices.IndexFunc(p.open, func(s sending) bool { return s.id == id })
		switch {
		case first == pubrecKind<<4 && len(body) > 2 && body[2] >= 0x80: // refused: no client of ours gives up
			return false
		case first == pubrecKind<<4 && i >= 0:
			p.open[i].recorded = true
			if !send(ackPacket(pubrelKind, id)) {
				return false
			}
		case first == pubcompKind<<4 && i >= 0:
			p.open = slices.Delete(p.open, i, i+1)
		}
	}
}

// forgetful is a store that forgets, when it is opened, which exchanges were open.
type forgetful struct{ persistence.Store }

func (s forgetful) Open(ctx context.Context, name string) (persistence.Queue, error) {
	q, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return forgetfulQueue{q}, nil
}

type forgetfulQueue struct{ persistence.Queue }

func (q forgetfulQueue) Marks(prefix string) iter.Seq2[string, []byte] {
	if strings.HasPrefix(prefix, actors.OpenMark) {
		return func(func(string, []byte) bool) {}
	}
	return q.Queue.Marks(prefix)
}

var errKilled = errors.New("killed")

// runPublisher has a client publish while the gateway is killed, or loses power, at
// calls of the store that are nobody's choice, or is ended properly. It returns what
// is wrong in the end, nil if nothing is.
func runPublisher(t *testing.T, seed uint64, version byte, wrap func(persistence.Store) persistence.Store) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	p := &publisher{rng: rng, version: version, dup: rng.IntN(3) > 0}
	store := faultstore.New(memory.New(memory.Options{SegmentSize: 16 << 10}))
	const rounds, each = 12, 8
	for round := range rounds {
		h := openHouse(t, wrap(store), twoConnections)
		crashed := make(chan *faultstore.Store, 1)
		if rng.IntN(4) > 0 {
			crashAt(store, 1+rng.IntN(40), rand.New(rand.NewPCG(seed, uint64(round))), crashed)
		}
		for complete := false; !complete && len(crashed) == 0; {
			if c := h.tryConnect(version, "c"); c != nil {
				complete = p.talk(c, (round+1)*each)
				c.Close()
			}
		}
		store.Before(nil)
		h.end()
		if len(crashed) > 0 {
			store = <-crashed
			continue
		}
		var err error
		if store, err = store.Crash(nil); err != nil { // it was closed, and nothing is lost by this
			return err
		}
	}
	h := openHouse(t, wrap(store), twoConnections)
	defer h.end()
	c := h.tryConnect(version, "c")
	if c == nil || !p.talk(c, rounds*each) {
		return errors.New("the last connection was cut")
	}
	c.Close()
	for _, name := range []string{"a", "b"} {
		if got, want := h.stored(name), p.expected(name); got != want {
			return fmt.Errorf("connection %s stored\n%s, not\n%s", name, got, want)
		}
	}
	return nil
}

// crashAt makes the store crash at the call number n that writes or syncs: the power
// is cut, or only the process is killed. What the crash leaves is sent to crashed.
func crashAt(store *faultstore.Store, n int, rng *rand.Rand, crashed chan<- *faultstore.Store) {
	if rng.IntN(2) == 0 {
		rng = nil
	}
	turn := make(chan struct{}, 1)
	store.Before(func(_ context.Context, c faultstore.Call) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		if c.Op != faultstore.Write && c.Op != faultstore.Sync {
			return nil
		}
		if n--; n != 0 {
			return nil // after the crash the store within is cut off
		}
		after, err := store.Crash(rng)
		if err == nil {
			crashed <- after
			err = errKilled
		}
		return err
	})
}

// tryConnect connects with a session that is kept; nil if the gateway does not let
// it.
func (h *house) tryConnect(version byte, id string) *rawClient {
	c := dialRaw(h.t, h.server)
	c.version = version
	if _, err := c.Write(keptPacket(version, id, 3600)); err != nil {
		return nil
	}
	if first, body, err := c.tryRead(); err != nil || first != 0x20 || body[1] != 0 {
		c.Close()
		return nil
	}
	return c
}

// S2.1, Guarantee 12: whatever happens to the gateway and to the connection, each
// message is stored exactly once in each queue that it belongs to, in order.
func TestPublisherModel(t *testing.T) {
	for seed := range uint64(25) {
		for _, version := range []byte{mqtt311, mqtt5} {
			if err := runPublisher(t, seed, version, func(s persistence.Store) persistence.Store { return s }); err != nil {
				t.Fatalf("seed %d, version %d: %v", seed, version, err)
			}
		}
	}
}

// The model is believed because it finds out when exchanges are forgotten.
func TestPublisherModelControl(t *testing.T) {
	for seed := range uint64(25) {
		if err := runPublisher(t, seed, mqtt311, func(s persistence.Store) persistence.Store { return forgetful{s} }); err != nil {
			return
		}
	}
	t.Fatal("a store that forgets exchanges was not found out")
}
