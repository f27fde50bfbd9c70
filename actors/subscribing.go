package actors

import (
	"maps"
	"slices"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// subscribing is the part of a connection that sees to it that the session has
// the filters of the configuration and no others [S4.1].
type subscribing struct {
	asked   []broker.Filter // by the SUBSCRIBE that is not answered yet
	dropped []string        // by the UNSUBSCRIBE
	refused map[string]bool // filters, by the broker, over this link
	marked  bool            // what is granted is stored
	changed bool            // the filters did while an answer was on its way
}

// unsure stands for the QoS of a filter that was asked for, and of which it is not
// known whether it was granted.
const unsure types.QoS = 255

// refusedFilter is what SUBACK says instead of a QoS [MQTT-3.9.3].
const refusedFilter = 0x80

// subscribe asks for the filters that the broker has not granted yet, and gives
// back those that are not wanted any more. With each SUBSCRIBE the broker sends
// all retained messages again [MQTT-3.8.4-3].
func (c *connection) subscribe() {
	if !c.session.Present {
		var marks []persistence.Mark
		for filter := range c.granted {
			marks = append(marks, persistence.Mark{Key: markFilter + filter})
		}
		clear(c.granted)
		c.mark(marks)
	}
	c.asked, c.dropped, c.refused = nil, nil, make(map[string]bool)
	c.adjust()
}

// setFilters changes what is subscribed to.
func (c *connection) setFilters(m SetFilters) {
	c.config.Filters, c.config.MoreFilters = m.List, m.More
	if c.link != nil {
		c.adjust()
	}
}

// adjust sends what leads from what is granted to what is wanted, unless an answer is
// on its way.
func (c *connection) adjust() {
	c.changed = len(c.asked) > 0 || len(c.dropped) > 0
	if c.changed {
		return
	}
	wanted := make(map[string]bool, len(c.config.Filters))
	var marks []persistence.Mark
	for _, f := range c.config.Filters {
		wanted[f.Topic] = true
		qos, known := c.granted[f.Topic]
		if known && qos == f.QoS || c.refused[f.Topic] {
			continue
		}
		c.asked = append(c.asked, f)
		if !known { // should the answer not come, and nobody want it then, it is to be given back
			f.QoS = unsure
			c.granted[f.Topic] = unsure
			marks = append(marks, filterMark(f))
		}
	}
	c.mark(marks)
	for filter := range c.refused { // who asks for it anew wants to know anew
		if !wanted[filter] {
			delete(c.refused, filter)
		}
	}
	for _, filter := range slices.Sorted(maps.Keys(c.granted)) {
		if !wanted[filter] && !c.config.MoreFilters {
			c.dropped = append(c.dropped, filter)
		}
	}
	if len(c.asked) > 0 { // first, or what both the old and the new ones select would be missed between them
		if err := c.link.Subscribe(subscribeID, c.asked); err != nil {
			c.config.Logger.Warn("subscribing failed", "error", err)
		}
	}
	if len(c.dropped) > 0 {
		if err := c.link.Unsubscribe(unsubscribeID, c.dropped); err != nil {
			c.config.Logger.Warn("giving subscriptions back failed", "error", err)
		}
	}
}

// subscribed takes what the broker has granted. A filter that it refuses is
// tried again on each link.
func (c *connection) subscribed(e broker.Subscribed) {
	if e.ID != subscribeID {
		return
	}
	var marks []persistence.Mark
	for i, code := range e.Codes[:min(len(e.Codes), len(c.asked))] {
		f := c.asked[i]
		if code < refusedFilter {
			c.granted[f.Topic] = f.QoS
			marks = append(marks, filterMark(f))
			continue
		}
		c.refused[f.Topic] = true
		if c.granted[f.Topic] == unsure {
			delete(c.granted, f.Topic)
			marks = append(marks, persistence.Mark{Key: markFilter + f.Topic})
		}
		c.config.Logger.Warn("the broker refuses a subscription", "filter", f.Topic)
		c.note("the broker refuses the subscription to "+f.Topic, "check what the broker allows this user")
	}
	c.asked = nil
	c.mark(marks)
	if c.changed {
		c.adjust()
	}
}

// unsubscribed takes that the broker has taken filters back.
func (c *connection) unsubscribed(e broker.Unsubscribed) {
	if e.ID != unsubscribeID {
		return
	}
	var marks []persistence.Mark
	for _, filter := range c.dropped {
		delete(c.granted, filter)
		marks = append(marks, persistence.Mark{Key: markFilter + filter})
	}
	c.dropped = nil
	c.mark(marks)
	if c.changed {
		c.adjust()
	}
}

// mark stores what changed in the session.
func (c *connection) mark(marks []persistence.Mark) {
	if !c.marked || len(marks) == 0 {
		return
	}
	log := c.config.Logger
	c.config.Session.Tell(Note{Marks: marks, Reply: func(_ Noted, err error) {
		if err != nil { // the next link asks again
			log.Warn("what the broker has granted could not be stored", "error", err)
		}
	}})
}

// grantedBy is what marks say of the filters of a session.
func grantedBy(marks []persistence.Mark) map[string]types.QoS {
	granted := make(map[string]types.QoS)
	for _, m := range marks {
		if filter, ok := cutFilterMark(m); ok {
			granted[filter] = types.QoS(m.Value[0])
		}
	}
	return granted
}
