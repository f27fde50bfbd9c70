package runtime

import (
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// accept maps a message that came from the broker of c, and says whether it is
// for anybody here.
func (c *Connection) accept(m types.Message) (types.Message, bool) {
	if local, ok := c.routes().Delivers(m); ok {
		return local, true
	}
	if extra := c.asking.current.Load(); extra != nil {
		return extra.routes.Delivers(m)
	}
	return m, false
}

// store stores a message that came from the broker of c in every queue that it
// belongs to (S2.4); see actors.InboundConfig.
func (c *Connection) store(m types.Message, number uint64, done func(error), room func()) bool {
	return c.rt.route(way{from: c}, []Passage{{Message: m, Origin: types.Origin{Source: c.source, ID: number}, Done: done}}, room) == 1
}

// refusalPause is how long nothing is logged of a connection that takes no
// message of another after it was: they are counted.
const refusalPause = 10 * time.Second

// note logs that c can never take a message that came from another connection.
func (c *Connection) note(from *Connection, topic string, why error) {
	now := c.rt.now().UnixNano()
	if last := c.noted.Load(); now-last < int64(refusalPause) || !c.noted.CompareAndSwap(last, now) {
		return
	}
	c.rt.o.Logger.Warn("a message of another connection cannot be forwarded; it is counted as refused, as are others for some seconds",
		"conn", c.name, "from", from.name, "topic", topic, "error", why)
}
