package runtime

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// namedConsumer begins the names of the consumers of an incoming queue that
	// programs have named. The others are LocalName, for everything that is local,
	// and one for each connection that relays.
	namedConsumer = "named/"
	relayConsumer = "relay/"
)

// pumps move what is stored of the messages from a broker to all here for whom it
// is, each on its own: none holds up another (S4.3, S6.2).
type pumps struct {
	mu      sync.Mutex
	running map[string]*actors.Pump // by consumer
	over    bool
}

// established are the consumers of the incoming queue of a connection that are
// there as long as the configuration says so.
func (c *Connection) established(all []config.Connection) []actors.Established {
	local := []string{"#"}
	list := make([]actors.Established, 1)
	for i := range all {
		routes := all[i].Routes()
		if all[i].Name != c.name {
			if filters := routes.RelayFilters(); len(filters) > 0 {
				list = append(list, actors.Established{Name: relayConsumer + all[i].Name, List: subscriptions(filters)})
			}
			continue
		}
		for _, f := range routes.LocalFilters() {
			if strings.HasPrefix(f, "$") { // # does not select these
				local = append(local, f)
			}
		}
	}
	if extra := c.asking.current.Load(); extra != nil {
		local = append(local, extra.dollars()...)
	}
	list[0] = actors.Established{Name: LocalName, List: subscriptions(local)}
	return list
}

func subscriptions(filters []string) []actors.Subscription {
	var list []actors.Subscription
	for _, f := range filters {
		if types.TooDeep(f) {
			f = "#" // the pump passes over what it is not for
		}
		list = append(list, actors.Subscription{Filter: f, QoS: 2})
	}
	return list
}

// startPumps starts those of c that do not run, and stops those that are not needed
// any more.
func (c *Connection) startPumps(all []config.Connection) error {
	if c.incoming.consumers == nil {
		return nil
	}
	p := &c.incoming.pumps
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	before, errs := p.running, []error(nil)
	p.running = make(map[string]*actors.Pump)
	for _, e := range c.established(all) {
		pump, err := before[e.Name], error(nil)
		delete(before, e.Name)
		if pump == nil {
			pump, err = c.startPump(e.Name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.running[e.Name] = pump
	}
	for _, pump := range before {
		errs = append(errs, pump.Stop(context.Background()))
	}
	return errors.Join(errs...)
}

// startPump starts the pump of one consumer.
func (c *Connection) startPump(consumer string) (*actors.Pump, error) {
	cfg := actors.PumpConfig{
		Name: c.name + "/to/" + strings.TrimPrefix(consumer, relayConsumer), Consumers: c.incoming.consumers, Consumer: consumer,
		ForGood: forGood, Logger: c.rt.o.Logger.With("conn", c.name),
	}
	w := way{from: c, only: strings.TrimPrefix(consumer, relayConsumer)}
	cfg.Store = func(list []types.Passage, room func()) int { return c.rt.route(w, list, room) }
	if consumer == LocalName {
		cfg.Deliver = c.hand
	}
	return actors.SpawnPump(c.rt.system, cfg)
}

// reestablish is for a change of the configuration: consumers that are not in it
// any more end, and with them what belongs to nobody else.
func (c *Connection) reestablish(all []config.Connection) error {
	if c.incoming.consumers == nil {
		return nil
	}
	c.asking.mu.Lock()
	c.asking.all = all
	c.asking.mu.Unlock()
	c.establish(context.Background(), all)
	return c.startPumps(all)
}

// establish says which consumers there are to be, and returns when that is recorded,
// or the store is in trouble: then it is recorded before anything is stored.
func (c *Connection) establish(ctx context.Context, all []config.Connection) {
	_, _ = actors.Ask(ctx, c.incoming.consumers.Ref, func(r actors.Reply[actors.Noted]) actors.ConsumersMessage {
		return actors.Establish{List: c.established(all), Reply: r}
	})
}

// stop ends all pumps for good.
func (p *pumps) stop(ctx context.Context) error {
	p.mu.Lock()
	p.over = true
	running := p.running
	p.mu.Unlock()
	var errs []error
	for _, pump := range running {
		errs = append(errs, pump.Stop(ctx))
	}
	return errors.Join(errs...)
}

// kill makes the actor of that name fail, and says whether it is one of these.
func (p *pumps) kill(actor string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pump := range p.running {
		if pump.Name() == actor {
			pump.Kill()
			return true
		}
	}
	return false
}

// attend tells all queues which incoming queues there are, so that the numbers of
// those that have been gone for long are forgotten (S6.2).
func (rt *Runtime) attend() {
	l := rt.enter()
	defer l.leave()
	there := &actors.Attendance{Expiry: rt.config.SessionExpiry}
	for _, c := range l.members {
		switch q := c.incoming.queue; {
		case q == nil:
		case q.Unread():
			return // its id is not known
		default:
			id := q.State().StoreID
			there.Sources = append(there.Sources, hex.EncodeToString(id[:]))
		}
	}
	for _, q := range rt.publishedTo(l) {
		q.Tell(actors.ReadMarks{Prefix: actors.SourceMark, Reply: func(m actors.Marks, err error) {
			if err == nil && len(m.List) > 0 {
				q.Tell(actors.Note{Attendance: there})
			}
		}})
	}
}
