package runtime

import "github.com/mqttdb/mqttdb/types"

// goLive adds s to those that get messages of c while they are there.
func (c *Connection) goLive(s *Subscription) error {
	c.asking.mu.Lock()
	if c.asking.over {
		c.asking.mu.Unlock()
		return types.ErrClosed
	}
	if c.asking.live == nil {
		c.asking.live = make(map[*Subscription]bool)
	}
	c.asking.live[s] = true
	c.asking.relist()
	c.asking.mu.Unlock()
	c.refilter()
	return nil
}

// endLive takes s out again.
func (c *Connection) endLive(s *Subscription) {
	c.asking.mu.Lock()
	had := c.asking.live[s]
	delete(c.asking.live, s)
	c.asking.relist()
	c.asking.mu.Unlock()
	if had {
		c.refilter()
	}
}

// relist makes public who there is; the lock is held.
func (a *asking) relist() {
	list := make([]*Subscription, 0, len(a.live))
	for s := range a.live {
		list = append(list, s)
	}
	a.list.Store(&list)
}

// endAllLive ends all of them, for good.
func (c *Connection) endAllLive() {
	c.asking.mu.Lock()
	c.asking.over = true
	list := c.asking.live
	c.asking.live = nil
	c.asking.relist()
	c.asking.mu.Unlock()
	for s := range list {
		s.cancel()
		s.inbox.end(types.ErrClosed)
	}
}

// selects says whether s subscribes to what has that topic, and the most it is to be
// delivered at.
func (s *Subscription) selects(topic string) (qos types.QoS, matches bool) {
	for _, w := range *s.wanted.Load() {
		if types.Matches(w.Filter, topic) {
			qos, matches = max(qos, w.QoS), true
		}
	}
	return qos, matches
}

// hand gives a message of the broker of c to all who get it live.
func (c *Connection) hand(m types.Message) {
	if list := c.asking.list.Load(); list != nil {
		for _, s := range *list {
			if qos, matches := s.selects(m.Topic); matches {
				m := m
				m.QoS = min(m.QoS, qos)
				s.inbox.offer(&Delivery{Message: m, Accepted: c.rt.now(), Attempt: 1})
			}
		}
	}
	c.rt.local.hand(m)
}
