package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// maxSupply is how many new messages are handed to the connection without being asked
// for. Of more it is told, and fetches them while others are answered.
const maxSupply = 16

// supplying is the part of a queue that spares a connection which has nothing left to
// send the way back and forth: it is given what comes next at once, as far as it had
// room when it last fetched.
type supplying struct {
	hungry bool              // the connection has fetched all there was
	from   types.Seq         // up to here, if there is a limit
	limit  persistence.Limit // that it had room for beyond; none if there are no records
}

// served notes that the connection got f, the answer to m.
func (s *supplying) served(m Fetch, f *Fetched, committed types.Seq) {
	*s = supplying{hungry: f.Through >= committed}
	if !m.supply {
		return
	}
	s.from, s.limit = f.Through, m.Limit
	s.limit.Records -= len(f.Records)
	for i := range f.Records {
		s.limit.Bytes -= int64(f.Records[i].Message.Size())
	}
	if s.limit.Bytes <= 0 {
		s.limit = persistence.Limit{}
	}
}

// may says whether what is committed up to last may be supplied.
func (s *supplying) may(last types.Seq) bool {
	return s.limit.Records > 0 && last-s.from <= maxSupply
}

// available tells the connection, if it is hungry, that there are messages up to last,
// or gives them to it if they are few: by a Fetch in its name, for which the queue takes
// a turn of its own, so that what becomes of it is nobody else's trouble.
func (a *queue) available(last types.Seq) {
	if !a.hungry {
		return
	}
	a.hungry = false
	connection := a.connection
	if !a.may(last) {
		connection.Tell(Available{last})
		return
	}
	from := a.from
	a.self.Tell(Fetch{After: from, Limit: a.limit, drain: true, safe: true, supply: true, Reply: func(f Fetched, err error) {
		switch {
		case err != nil: // Opened will come
		case len(f.Records) == 0:
			connection.Tell(Available{last})
		default:
			connection.connection.Tell(supplied{from, f})
		}
	}})
}

// supplied takes messages that were not asked for, if they are those that it would
// fetch next.
func (c *connection) supplied(m supplied) {
	c.last = max(c.last, m.answer.Last)
	if c.link != nil && !c.fetching && !c.unreadable && m.after == c.through && m.answer.Store == c.store {
		c.took(m.answer)
	}
}
