package actors

import (
	"slices"
	"strings"
	"time"
)

// ConsumerStatus is a snapshot of one consumer.
type ConsumerStatus struct {
	Name    string
	Filters []string
	Joined  bool      // somebody gets what it is given
	Left    time.Time // when the last one went, if nobody does
	Open    int       // messages that it was given and has not acknowledged
	Behind  uint64    // at most so many that are stored have not been given to it yet
}

// list describes all consumers.
func (a *consumers) list() []ConsumerStatus {
	list := make([]ConsumerStatus, 0, len(a.byName))
	last := max(a.last, a.head)
	for name, c := range a.byName {
		s := ConsumerStatus{Name: name, Joined: c.receiver != nil, Left: c.left, Open: int(c.open.Count()), Behind: uint64(last - min(last, c.upTo(a.head)))}
		for _, f := range c.subscriptions() {
			s.Filters = append(s.Filters, f.Filter)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b ConsumerStatus) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Subscriptions returns those of all consumers whose names begin with
// ConsumersConfig.Named, if there is such a thing, without asking the actor. They are
// not known before the store could be read.
func (c *Consumers) Subscriptions() (list []Subscription, known bool) {
	if p := c.subscriptions.Load(); p != nil {
		return *p, true
	}
	return nil, false
}

// tellSubscriptions makes public what Subscriptions returns.
func (a *consumers) tellSubscriptions() {
	if a.config.Named == "" {
		return
	}
	var list []Subscription
	for name, c := range a.byName {
		if !a.isEstablished(name) {
			list = append(list, c.subscriptions()...)
		}
	}
	a.handle.subscriptions.Store(&list)
	a.config.Subscribed()
}
