package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// course is what is to become of a message that has no place in the window.
type course uint8

const (
	publish      course = iota // PUBLISH, for the first time, or with a QoS at which a broker remembers nothing
	publishKnown               // PUBLISH with QoS 2 and DUP: the broker may have it
	finish                     // PUBREL: the broker has it, or it is not to be published any more [S3.5]
	over                       // nothing: it has left
	giveUp                     // to be abandoned first: then finish
)

// course says what is to become of a message, and how it leaves then. To a
// broker that has lost the session no packet id is taken: what was released is
// either withdrawn by now, or taken for delivered. One of which that is not known is
// told what one that has kept it needs. What has expired is not published.
func (c *connection) course(r *persistence.Record, now time.Time) (course, types.Reason) {
	known := r.Message.QoS == 2 && c.knows(r.Seq)
	switch {
	case r.Released && (c.session.Present || c.session.Unsure):
		return finish, types.Sent
	case r.Released:
		return over, types.Sent
	case r.Abandoned && known:
		return finish, r.Why
	case r.Abandoned:
		return over, r.Why
	case past(until(r, c.maxAge), now) && known:
		return giveUp, types.Expired
	case past(until(r, c.maxAge), now):
		return over, types.Expired
	case known:
		return publishKnown, types.Sent
	}
	return publish, types.Sent
}
