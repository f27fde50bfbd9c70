package actors

import (
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// claims decides between a connection that is about to send a message and its
// queue that is about to drop it: whoever comes first. The connection is two
// windows ahead with what it has fetched, and the queue does not ask it for each
// message that it drops. It may be used concurrently.
type claims struct {
	mu    sync.Mutex
	store persistence.StoreID
	sent  types.Seq          // a link was given everything up to here that was pending
	taken persistence.Ranges // above sent: dropped, and perhaps fetched before
}

// of begins anew with another store.
func (c *claims) of(store persistence.StoreID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store != store {
		c.store, c.sent, c.taken = store, 0, nil
	}
}

// claim says whether a message may be sent: then it is in flight, and no longer
// dropped. Messages are claimed in their order, each time that they are sent.
func (c *claims) claim(seq types.Seq) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.taken) > 0 && c.taken.Contains(seq) {
		return false
	}
	if seq > c.sent {
		c.sent = seq
		c.taken.Remove(persistence.Range{First: 1, Last: seq})
	}
	return true
}

// take drops what choose returns, which is given the number up to which nothing
// may be: the connection gets none of it any more.
func (c *claims) take(choose func(sent types.Seq) persistence.Ranges) persistence.Ranges {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := choose(c.sent)
	for _, r := range dropped {
		c.taken.Add(r)
	}
	return dropped
}
