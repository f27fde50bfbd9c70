package config

import "fmt"

// limits finds what limits do that may not be expected.
func (s *surprises) limits(c *Config) {
	s.limit("local.limits", &c.Local.Limits, c.MaxMessageSize)
	for i := range c.Connections {
		conn, path := &c.Connections[i], connectionPath(c.Connections, i)+".limits"
		out := conn.Limits.Outgoing
		s.outgoingLimit(path, conn)
		if out == conn.Limits.Incoming || conn.Persist.Incoming != On {
			s.limit(path, &out, c.MaxMessageSize)
		} else {
			s.limit(path+".outgoing", &out, c.MaxMessageSize)
			s.limit(path+".incoming", &conn.Limits.Incoming, c.MaxMessageSize)
		}
		if conn.Persist.Incoming != On && conn.Limits.Incoming != conn.Limits.Limit {
			s.add(path+".incoming", "bounds nothing: no message of the broker is stored there unless persist.incoming is true", "")
		}
	}
}

func (l *Limit) bounded() bool { return l.MaxMessages > 0 || l.MaxBytes > 0 }

// limit finds it in the limits of one queue.
func (s *surprises) limit(path string, l *Limit, largest int64) {
	if l.MaxBytes > 0 && l.MaxBytes < largest {
		s.add(path+".max_bytes", fmt.Sprintf("is less than max_message_size, %s: a larger message is taken only while nothing else is stored", FormatSize(largest)), "")
	}
}

// outgoingLimit finds it in those of an outgoing queue.
func (s *surprises) outgoingLimit(path string, c *Connection) {
	l := &c.Limits.Outgoing
	switch {
	case l.Overflow == Reject:
		return
	case !l.bounded():
		if c.Persist.Outgoing != Off { // else there is a bound
			s.add(path+".overflow", fmt.Sprintf("is %v, but there is neither max_messages nor max_bytes: nothing is dropped", l.Overflow), "set one of them")
		}
		return
	case c.MaxQoS.Of(2) == 2:
		s.add(path+".overflow", fmt.Sprintf("is %v: at the limit messages with QoS 2 are dropped like others, also those that their publishers were told are stored", l.Overflow), "")
	}
	if l.Overflow == DropOldest && l.MaxMessages > 0 && l.MaxMessages <= c.Window {
		s.add(path+".max_messages", fmt.Sprintf("is no more than window, %d: while all that is stored is in flight it is what comes that is dropped", c.Window), "raise it, or lower window")
	}
}
