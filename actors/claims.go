package actors

import (
	"slices"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// claims decides between a connection that is about to send a message and its
// queue that is about to drop it: whoever comes first. The connection is two
// windows ahead with what it has fetched, and the queue does not ask it for each
// message that it drops. It outlives failures of both, and may be used concurrently.
type claims struct {
	mu     sync.Mutex
	store  persistence.StoreID
	sent   types.Seq          // a link was given everything up to here that was pending
	chosen persistence.Ranges // to be dropped, and not known to be recorded as such
	gone   persistence.Ranges // above sent: dropped, and perhaps fetched before
}

// of begins anew with another store.
func (c *claims) of(store persistence.StoreID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store != store {
		c.store, c.sent, c.chosen, c.gone = store, 0, nil, nil
	}
}

// claim says whether a message may be sent: then it is in flight, and no longer
// dropped. Messages are claimed in their order, each time that they are sent.
func (c *claims) claim(seq types.Seq) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chosen.Contains(seq) || c.gone.Contains(seq) {
		return false
	}
	if seq > c.sent {
		c.sent = seq
		c.gone.Remove(persistence.Range{First: 1, Last: seq})
	}
	return true
}

// choose takes what choice returns, which is given the number up to which nothing may
// be: no connection gets any of it from now on.
func (c *claims) choose(choice func(sent types.Seq) persistence.Ranges) persistence.Ranges {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := choice(c.sent)
	for _, r := range fresh {
		c.chosen.Add(r)
	}
	return fresh
}

// undropped is what was chosen and is not known to be recorded.
func (c *claims) undropped() persistence.Ranges {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.chosen)
}

// dropped notes that what was chosen is recorded; fetched says that somebody may have
// fetched some of it.
func (c *claims) dropped(fetched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.chosen {
		if r.First = max(r.First, c.sent+1); fetched && r.First <= r.Last {
			c.gone.Add(r)
		}
	}
	c.chosen = nil
}
