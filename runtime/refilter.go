package runtime

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
)

// Refilter changes what s subscribes to, as the options of a Subscribe with these would
// have it; what was delivered and not acknowledged stays so. Without filters it gets
// nothing more, until the next Refilter. It returns when that is committed. Messages that are on their way
// already may come by the filters that s had. After an error those of s may be either.
func (s *Subscription) Refilter(ctx context.Context, filters []string, qosOf map[string]config.QoS) error {
	o := s.options
	o.Filters, o.QoSOf = filters, qosOf
	if len(filters) > 0 {
		if err := o.setDefaults(); err != nil {
			return fmt.Errorf("subscribe on %s: %w", s.conn.name, err)
		}
	}
	if err := s.conn.checkFilters(filters); err != nil {
		return fmt.Errorf("subscribe on %s: %w", s.conn.name, err)
	}
	s.fitting.Lock()
	defer s.fitting.Unlock()
	had, wanted := *s.wanted.Load(), o.list(filters)
	s.want(wanted)
	if s.options.Name == "" {
		s.conn.refilter()
		return nil
	}
	token, err := s.inbox.token()
	if err != nil {
		return fmt.Errorf("subscribe on %s: %w", s.conn.name, err)
	}
	if token == nil {
		return nil // whoever joins it again fits it
	}
	if err := s.change(ctx, *token, had, wanted); err != nil {
		return fmt.Errorf("subscribe on %s: %w", s.conn.name, err)
	}
	return nil
}

// Filters are those that s subscribes to.
func (s *Subscription) Filters() []string {
	var list []string
	for _, w := range *s.wanted.Load() {
		list = append(list, w.Filter)
	}
	return list
}

// QoSOf is what they are subscribed to with.
func (s *Subscription) QoSOf() map[string]config.QoS {
	of := make(map[string]config.QoS)
	for _, w := range *s.wanted.Load() {
		of[w.Filter] = config.QoS0 + config.QoS(w.QoS)
	}
	return of
}

// Store is the identity of the queue that the numbers of deliveries belong to, as 32
// hexadecimal digits; "" without a Name.
func (s *Subscription) Store() string {
	if s.options.Name == "" {
		return ""
	}
	id := s.conn.incoming.queue.State().StoreID
	return hex.EncodeToString(id[:])
}

// list is what o asks for with these filters, each once.
func (o *SubscribeOptions) list(filters []string) []actors.Subscription {
	list := make([]actors.Subscription, 0, len(filters))
	seen := make(map[string]bool)
	for _, f := range filters {
		if seen[f] {
			continue
		}
		seen[f] = true
		qos := o.QoS
		if q, ok := o.QoSOf[f]; ok && q != config.QoSDefault {
			qos = q
		}
		if o.Name != "" {
			qos = max(qos, config.QoS1)
		}
		list = append(list, actors.Subscription{Filter: f, QoS: qos.Of(1)})
	}
	return list
}

func (s *Subscription) want(list []actors.Subscription) { s.wanted.Store(&list) }
