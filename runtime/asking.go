package runtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// asking is what is asked of the broker of a connection because programs have
// subscribed while it runs, beside what the configuration says. It is as if each of
// their filters were an entry of subscribe, with only a topic. Those of named
// subscriptions are stored with them, and asked for after a restart, too (S4.1).
type asking struct {
	mu   sync.Mutex
	live map[*Subscription]bool          // of which nothing is stored
	list atomic.Pointer[[]*Subscription] // the same, for those who hand messages to them
	all  []config.Connection             // that there are
	over bool                            // there are to be no more of them

	current atomic.Pointer[extra] // nil: nothing
}

// extra is what is asked for. It is never modified.
type extra struct {
	list   []config.Subscribe // in order of their topics
	routes *config.Routes     // that list makes
	more   bool               // what named subscriptions there are is not known yet
}

// refilter sees to it that the broker is asked for what programs want, and no more
// than that. It never blocks.
func (c *Connection) refilter() {
	a := &c.asking
	a.mu.Lock()
	defer a.mu.Unlock()
	qos, configured := make(map[string]types.QoS), c.routes()
	want := func(filter string, q types.QoS) {
		if !covers(configured, filter) {
			qos[filter] = max(qos[filter], q)
		}
	}
	for s := range a.live {
		for _, w := range *s.wanted.Load() {
			want(w.Filter, w.QoS)
		}
	}
	next := &extra{}
	if k := c.incoming.consumers; k != nil {
		named, known := k.Subscriptions()
		next.more = !known
		for _, s := range named {
			want(s.Filter, s.QoS)
		}
	}
	for filter, q := range qos {
		next.list = append(next.list, config.Subscribe{Topic: filter, QoS: config.QoS0 + config.QoS(q)})
	}
	slices.SortFunc(next.list, func(a, b config.Subscribe) int { return strings.Compare(a.Topic, b.Topic) })
	before := a.current.Load()
	if before != nil && before.more == next.more && slices.Equal(before.list, next.list) {
		return
	}
	asked := config.Connection{Name: c.name, Subscribe: next.list}
	next.routes = asked.Routes()
	a.current.Store(next)
	if k := c.incoming.consumers; k != nil && (before == nil || !slices.Equal(before.dollars(), next.dollars())) {
		k.Tell(actors.Establish{List: c.established(a.all)})
	}
	if link := c.wire.present().link; link != nil {
		filters, more := c.filters(c.current.Load())
		link.Tell(actors.SetFilters{List: filters, More: more})
	}
}

// covers says whether everything that filter selects is subscribed to by routes.
func covers(routes *config.Routes, filter string) bool {
	return slices.ContainsFunc(routes.LocalFilters(), func(f string) bool { return types.Covers(f, filter) })
}

// filters are those to subscribe to at the broker, with the settings s. more says
// that there are others, which are not known yet.
func (c *Connection) filters(s *settings) (list []broker.Filter, more bool) {
	has := make(map[string]bool)
	for _, f := range s.routes.Filters() {
		has[f.Topic] = true
		list = append(list, broker.Filter{Topic: f.Topic, QoS: f.QoS})
	}
	extra := c.asking.current.Load()
	if extra == nil {
		return list, c.incoming.consumers != nil
	}
	for _, f := range extra.routes.Filters() {
		if !has[f.Topic] {
			list = append(list, broker.Filter{Topic: f.Topic, QoS: f.QoS})
		}
	}
	return list, extra.more
}

// dollars are the filters that begin with $.
func (e *extra) dollars() (list []string) {
	for _, s := range e.list {
		if strings.HasPrefix(s.Topic, "$") {
			list = append(list, s.Topic)
		}
	}
	return list
}

// configured is how all connections are configured at present.
func (rt *Runtime) configured() []config.Connection {
	var list []config.Connection
	for _, m := range rt.lineup.Load().members {
		list = append(list, m.settings.Connection)
	}
	return list
}

// checkFilters says whether a program may subscribe to filters: what is wrong with
// them, or with the routes that they would lead to.
func (c *Connection) checkFilters(filters []string) error {
	all := c.rt.configured()
	for i := range all {
		if all[i].Name != c.name {
			continue
		}
		configured := all[i].Routes()
		all[i].Subscribe = slices.Clone(all[i].Subscribe)
		for n, f := range filters {
			if err := types.CheckFilter(f); err != nil {
				return err
			}
			if types.TooDeep(f) {
				return fmt.Errorf("%w: filter with more than %d levels", types.ErrInvalidTopic, types.MaxLevels)
			}
			if !covers(configured, f) && !slices.Contains(filters[:n], f) {
				all[i].Subscribe = append(all[i].Subscribe, config.Subscribe{Topic: f})
			}
		}
	}
	cfg := c.rt.config
	cfg.Connections = all
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		return fmt.Errorf("as an entry of subscribe it would be refused: %w", err)
	}
	return nil
}

// Consumers lists the durable consumers of what the broker of c sends: LocalName for
// all that is local, those that relay, and named subscriptions. There are none where
// that is not stored.
func (c *Connection) Consumers(ctx context.Context) ([]types.ConsumerStatus, error) {
	if c == nil {
		return nil, types.ErrUnknownConnection
	}
	if c.incoming.consumers == nil {
		return []types.ConsumerStatus{}, nil
	}
	found, err := actors.Ask(ctx, c.incoming.consumers.Ref, func(r actors.Reply[[]actors.ConsumerStatus]) actors.ConsumersMessage {
		return actors.ListConsumers{Reply: r}
	})
	if err != nil {
		return nil, fmt.Errorf("list the consumers of %s: %w", c.name, err)
	}
	list := make([]types.ConsumerStatus, 0, len(found))
	for _, f := range found {
		s := types.ConsumerStatus{Name: f.Name, Kind: types.LocalConsumer, Filters: f.Filters, Joined: f.Joined, Open: f.Open, Behind: f.Behind}
		if name, ok := strings.CutPrefix(f.Name, namedConsumer); ok {
			s.Name, s.Kind = name, types.NamedConsumer
		} else if name, ok := strings.CutPrefix(f.Name, relayConsumer); ok {
			s.Name, s.Kind = name, types.RelayConsumer
		}
		if !f.Joined && !f.Left.IsZero() {
			s.Left = &f.Left
		}
		list = append(list, s)
	}
	return list, nil
}

// RemoveConsumer ends a named subscription, whether anybody has it or not, and says
// whether there was one. It returns when that is committed. Messages that belong to
// nobody else leave.
func (c *Connection) RemoveConsumer(ctx context.Context, name string) (bool, error) {
	if c == nil {
		return false, types.ErrUnknownConnection
	}
	if c.incoming.consumers == nil {
		return false, nil
	}
	had, err := actors.Ask(ctx, c.incoming.consumers.Ref, func(r actors.Reply[bool]) actors.ConsumersMessage {
		return actors.Remove{Name: namedConsumer + name, Reply: r}
	})
	if err != nil {
		return false, fmt.Errorf("remove the consumer %s of %s: %w", name, c.name, err)
	}
	return had, nil
}
