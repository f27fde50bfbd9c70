package httpapi

import "github.com/gorilla/websocket"

// keptForClient is how many events wait for a client of the stream; of more the
// latest do, and GET /api/events has the others.
const keptForClient = 64

// update is a change of the statuses, with the messages that tell of it: the same for
// all clients.
type update struct {
	names    []string // of those that changed
	gone     []string
	messages []*websocket.PreparedMessage
}

// client is what waits for a client of the stream: never more than the latest. Its
// fields belong to the lock of the hub.
type client struct {
	bell  chan struct{}   // rung when something waits
	ended chan struct{}   // closed when the hub has closed
	conn  *websocket.Conn // nil: there is none yet

	next    *update // all that waits, if that is one update
	changed map[string]struct{}
	gone    map[string]struct{}
	events  []*websocket.PreparedMessage
}

func newClient() *client {
	return &client{bell: make(chan struct{}, 1), ended: make(chan struct{})}
}

// offer gives c an update. What waits already becomes one with it.
func (c *client) offer(u *update) {
	if c.next == nil && !c.behind() {
		c.next = u
	} else {
		if c.next != nil {
			c.merge(c.next)
			c.next = nil
		}
		c.merge(u)
	}
	c.ring()
}

func (c *client) merge(u *update) {
	if c.changed == nil {
		c.changed, c.gone = map[string]struct{}{}, map[string]struct{}{}
	}
	for _, name := range u.gone {
		delete(c.changed, name)
		c.gone[name] = struct{}{}
	}
	for _, name := range u.names {
		delete(c.gone, name)
		c.changed[name] = struct{}{}
	}
}

// behind says whether statuses wait.
func (c *client) behind() bool { return c.next != nil || len(c.changed)+len(c.gone) > 0 }

// happened gives c an event.
func (c *client) happened(m *websocket.PreparedMessage) {
	if len(c.events) == keptForClient {
		c.events = c.events[:copy(c.events, c.events[1:])]
	}
	c.events = append(c.events, m)
	c.ring()
}

func (c *client) ring() {
	select {
	case c.bell <- struct{}{}:
	default: // it is rung already
	}
}
