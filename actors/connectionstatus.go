package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// ConnectionStatus is what a connection makes public. Values are never modified.
type ConnectionStatus struct {
	State       types.State
	Since       time.Time // when it came into that state
	NextAttempt time.Time // zero: none is planned
	Broker      string    // the name of the one that it is linked to, was last, or is being dialed
	LastError   string    // why there is no link, or what is wrong with the one there is
	Hint        string    // what an operator can do about it

	InFlight int    // sent and not acknowledged
	Resent   uint64 // sent again after the loss of a link, since the start
	Unknown  uint64 // acknowledgements of nothing that was in flight, since the start
}

// Status describes the connection, without asking the actor.
func (h *Connection) Status() ConnectionStatus {
	s := *h.status.Load()
	s.InFlight, s.Resent, s.Unknown = int(h.inFlight.Load()), h.resent.Load(), h.unknown.Load()
	return s
}

// become makes a change of state public.
func (c *connection) become(state types.State, why error) {
	old := c.handle.status.Load()
	s := ConnectionStatus{State: state, Since: old.Since, Broker: old.Broker}
	switch state {
	case types.Connecting:
		s.Broker = c.config.Brokers[c.returns.next].Name
	case types.Online:
		s.Broker = c.config.Brokers[c.at].Name
	}
	if state != old.State {
		s.Since = c.config.Clock.Now()
	}
	switch {
	case why != nil:
		s.LastError, s.Hint = why.Error(), broker.Hint(why)
	case state == types.Connecting: // until there is news
		s.LastError, s.Hint = old.LastError, old.Hint
	}
	c.publishStatus(s)
	if state != old.State && state != types.Connecting && state != types.Backoff && state != types.Refused { // retry says why
		c.config.Logger.Info("connection is " + string(state))
	}
}

// note adds to the present state what is wrong.
func (c *connection) note(what, hint string) {
	s := *c.handle.status.Load()
	s.LastError, s.Hint = what, hint
	c.publishStatus(s)
}

func (c *connection) nextAttempt(at time.Time) {
	s := *c.handle.status.Load()
	s.NextAttempt = at
	c.publishStatus(s)
}

func (c *connection) publishStatus(s ConnectionStatus) {
	c.handle.status.Store(&s)
	c.config.Changed()
}
