package actors

import (
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/types"
)

// consumerIndex finds the subscriptions that select a topic. The actor alone
// changes it, under the lock, and reads it without; others read it with the lock.
type consumerIndex struct {
	mu     sync.RWMutex
	known  bool // what is stored was read
	tree   types.Tree[map[*consumer]Subscription]
	wanted []wanted // memory for the actor
	visits uint64   // searches
	count  int      // of subscriptions
}

// wanted is a consumer to whom a message belongs by its subscriptions.
type wanted struct {
	consumer *consumer
	by       Subscription // what those that select it come to
}

// wants says whether messages on topic may belong to a consumer. As long as
// nobody knows, they may.
func (x *consumerIndex) wants(topic string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.known {
		return true
	}
	found := false
	x.tree.FiltersOf(topic, func(list map[*consumer]Subscription) { found = found || len(list) > 0 })
	return found
}

// set makes s a subscription of c.
func (x *consumerIndex) set(c *consumer, s Subscription) {
	if s.QoS == 0 {
		x.remove(c, s.Filter)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	list, _ := x.tree.At(s.Filter)
	if *list == nil {
		*list = make(map[*consumer]Subscription)
	}
	if _, had := (*list)[c]; !had {
		x.count++
	}
	(*list)[c] = s
}

// hasRoomFor says whether these subscriptions fit into memory. They are bounded
// otherwise, too, but a filter may take 300 times as much memory as it has bytes.
func (x *consumerIndex) hasRoomFor(list []Subscription) bool {
	nodes := x.tree.Nodes()
	for _, s := range list {
		nodes += x.tree.Missing(s.Filter)
	}
	return nodes*types.TreeNode+(x.count+len(list))*subscriptionBytes <= maxSubscriptions
}

// remove takes a subscription of c out.
func (x *consumerIndex) remove(c *consumer, filter string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := x.tree.Get(filter)
	if list == nil {
		return
	}
	if _, had := (*list)[c]; had {
		x.count--
	}
	delete(*list, c)
	if len(*list) == 0 {
		x.tree.Remove(filter)
	}
}

// clear forgets everything.
func (x *consumerIndex) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tree, x.known, x.count = types.Tree[map[*consumer]Subscription]{}, false, 0
}

// complete says that all that is stored is in the index.
func (x *consumerIndex) complete() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known = true
}

// wanting returns to whom a stored message belongs by its subscriptions, whether
// or not they have it already. It is valid until the next call.
func (x *consumerIndex) wanting(seq types.Seq, topic, origin string) []wanted {
	x.wanted = x.wanted[:0]
	x.visits++
	only, isCopy := strings.CutPrefix(origin, copySource)
	x.tree.FiltersOf(topic, func(list map[*consumer]Subscription) {
		for c, s := range list {
			if !s.selects(seq, origin, c.name) || isCopy && c.name != only {
				continue
			}
			x.add(c, s)
		}
	})
	return x.wanted
}

// by says by which subscriptions of c, if any, a message belongs to it.
func (x *consumerIndex) by(c *consumer, seq types.Seq, topic, origin string) (by Subscription, any bool) {
	if only, isCopy := strings.CutPrefix(origin, copySource); isCopy && only != c.name {
		return by, false
	}
	x.tree.FiltersOf(topic, func(list map[*consumer]Subscription) {
		if s, has := list[c]; has && s.selects(seq, origin, c.name) {
			by, any = by.or(s), true
		}
	})
	return by, any
}

// any says whether a message belongs to a consumer for which is holds. It asks no
// more of them than it has to.
func (x *consumerIndex) any(seq types.Seq, topic, origin string, is func(*consumer) bool) bool {
	only, isCopy := strings.CutPrefix(origin, copySource)
	found := false
	x.tree.FiltersOf(topic, func(list map[*consumer]Subscription) {
		if found {
			return
		}
		for c, s := range list {
			if s.selects(seq, origin, c.name) && (!isCopy || c.name == only) && is(c) {
				found = true
				return
			}
		}
	})
	return found
}

func (x *consumerIndex) add(c *consumer, s Subscription) {
	if c.visit != x.visits {
		c.visit, c.slot = x.visits, len(x.wanted)
		x.wanted = append(x.wanted, wanted{c, s})
		return
	}
	w := &x.wanted[c.slot]
	w.by = w.by.or(s)
}
