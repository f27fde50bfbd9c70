package runtime

import (
	"sync/atomic"
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
// belongs to (S2.4); see actors.InboundConfig. What none of them will ever take is
// done: the broker has no other way to go on.
func (c *Connection) store(m types.Message, number uint64, done func(error), room func()) bool {
	answer := func(err error) {
		if forGood(err) {
			c.noted.note(c.rt, c.name, c, m.Topic, err)
			err = nil
		}
		done(err)
	}
	return c.rt.route(way{from: c}, []Passage{{Message: m, Origin: types.Origin{Source: c.source, ID: number}, Done: answer}}, room) == 1
}

// refusals logs messages of a broker that can never be stored where they belong: one
// of them now and then, for they are counted.
type refusals struct{ last atomic.Int64 }

// refusalPause is how long nothing is logged after something was.
const refusalPause = 10 * time.Second

// note takes that the connection of that name, or LocalName, can never take a message.
func (r *refusals) note(rt *Runtime, target string, from *Connection, topic string, why error) {
	now := rt.now().UnixNano()
	if last := r.last.Load(); now-last < int64(refusalPause) || !r.last.CompareAndSwap(last, now) {
		return
	}
	rt.o.Logger.Warn("a message of a broker can never be stored here; it is counted as refused, as are others for some seconds",
		"conn", target, "from", from.name, "topic", topic, "error", why)
}
