package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// brokers is what a conversation with a list of them has: "brokers A B" names
// them, before the start, and lets the connection have a birth and a close
// message; "client" is the client id from then on. The broker takes
// the one that is being dialed: "accept" by a link, "clean" by one that ends when
// it is told to. "looks" waits until the first one is looked at.
type brokers struct {
	client string
	stored map[string][]byte
}

// namedBroker is one of them.
type namedBroker struct {
	*conversation
	name string
}

// Dial implements broker.Dialer.
func (b namedBroker) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	clean := ""
	if o.CleanSession {
		clean = ", with a clean session"
	}
	return b.conversation.dial(ctx, fmt.Sprintf("dial %s as %s%s", b.name, o.ClientID, clean), o, events)
}

// Probe implements broker.Prober.
func (b namedBroker) Probe(ctx context.Context) error {
	_, _, err := b.conversation.dial(ctx, "probe "+b.name, broker.ConnectOptions{CleanSession: true}, nil)
	return err
}

func (b *brokers) list(c *conversation, names []string) {
	config := &c.k.config
	config.Brokers = nil
	for _, name := range names {
		if name == "shared" {
			config.SharedSession = true
			continue
		}
		config.Brokers = append(config.Brokers, Broker{name, namedBroker{c, name}})
	}
	config.Birth = &types.Message{Topic: "state", Payload: []byte("online"), QoS: 1}
	config.Close = &types.Message{Topic: "state", Payload: []byte("stopped")}
	b.client = "gw"
}

// filters are what is subscribed to from the next link on, as after a reload.
func (b *brokers) filters(c *conversation, filters []string) {
	c.k.config.Filters = filtersOf(filters)
}

func filtersOf(topics []string) (list []broker.Filter) {
	for _, f := range topics {
		list = append(list, broker.Filter{Topic: f, QoS: 1})
	}
	return list
}

func (b *brokers) options() broker.ConnectOptions { return broker.ConnectOptions{ClientID: b.client} }

func (b *brokers) marks() Marks {
	m := Marks{Store: persistence.StoreID{1}}
	for _, key := range slices.Sorted(maps.Keys(b.stored)) {
		m.List = append(m.List, persistence.Mark{Key: key, Value: b.stored[key]})
	}
	return m
}

// note stores marks, and says which.
func (b *brokers) note(n Note) (said string) {
	if b.stored == nil {
		b.stored = make(map[string][]byte)
	}
	if n.Sync {
		said = " synced"
	}
	if len(n.Released) > 0 {
		said += ", released " + show(n.Released)
	}
	if n.Withdrawn {
		said += ", withdrawn"
	}
	for _, d := range n.Abandoned {
		said += fmt.Sprintf(", abandoned %s as %v (%s)", show(persistence.Ranges{d.Range}), d.Reason, d.Cause)
	}
	for _, m := range n.Marks {
		switch {
		case len(m.Value) == 0:
			delete(b.stored, m.Key)
			said += fmt.Sprintf(", no %s", m.Key)
			continue
		case m.Key != markStore:
			said += fmt.Sprintf(", %s %q", m.Key, m.Value)
		}
		b.stored[m.Key] = m.Value
	}
	return said
}
