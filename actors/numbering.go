package actors

import "github.com/mqttdb/mqttdb/types"

// numbering sees to it that a packet id is free before it is used again: a
// message is sent only while it is less than packetIDs above the ack floor that a
// crash leaves [S3.1]. That floor is asked for long before it is needed.
type numbering struct {
	floor  types.Seq // durable: as the policy of the queue demands
	asking bool
	risen  bool // it may have risen since it was looked at
}

// idFree says whether the packet id of a message is free for it.
func (c *connection) idFree(seq types.Seq) bool {
	if seq-c.floor >= packetIDs/2 {
		c.askFloor()
	}
	return seq-c.floor < packetIDs
}

// askFloor learns how far the ack floor is durable: a Note of nothing is answered
// when all that was written before is.
func (c *connection) askFloor() {
	if c.asking || !c.risen {
		return
	}
	c.risen = false
	floor := c.config.Queue.State().Floor
	if floor <= c.floor {
		return
	}
	c.asking = true
	self, store := c.self, c.store
	c.config.Queue.Tell(Note{Store: store, Reply: func(_ Noted, err error) {
		m := grounded{floor: floor, failed: err != nil}
		self.Tell(m)
	}})
}

func (c *connection) grounded(m grounded) {
	c.asking = false
	if !m.failed {
		c.floor = max(c.floor, m.floor)
	}
}
