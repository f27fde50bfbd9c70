package actors

import (
	"encoding/binary"

	"github.com/mqttdb/mqttdb/persistence"
)

// markGivenUp is the mark of the queue that holds, as a uvarint, how many messages
// were given up in a row: a third one is not, however often we are started.
const markGivenUp = "given_up"

// askGivenUp asks the queue's store how many an earlier process has given up. The
// answer is there before the first message is.
func (c *connection) askGivenUp() {
	self, store := c.self, c.store
	c.config.Queue.Tell(ReadMarks{Prefix: markGivenUp, Reply: func(m Marks, err error) {
		for _, mark := range m.List { // none if there is an error: then the queue is opened once more
			if n, used := binary.Uvarint(mark.Value); mark.Key == markGivenUp && used > 0 {
				self.Tell(givenUpBefore{store, int(min(n, mostGivenUp))})
			}
		}
	}})
}

func (c *connection) givenUpBefore(m givenUpBefore) {
	if m.store == c.store {
		c.suspect.givenUp = max(c.suspect.givenUp, m.count)
	}
}

// givenUpMark stores that n messages were given up in a row.
func givenUpMark(n int) []persistence.Mark {
	m := persistence.Mark{Key: markGivenUp}
	if n > 0 {
		m.Value = binary.AppendUvarint(nil, uint64(n))
	}
	return []persistence.Mark{m}
}

// answered is for messages that the broker has acknowledged: it takes some.
func (c *connection) answered() {
	c.forgiveGivenUp()
	c.suspect.answers()
	c.useful = true
}

// acquit forgets all suspicion.
func (c *connection) acquit() {
	c.forgiveGivenUp()
	c.suspect.acquit()
}

func (c *connection) forgiveGivenUp() {
	if c.suspect.givenUp > 0 {
		c.config.Queue.Tell(Settle{Store: c.store, Marks: givenUpMark(0)})
	}
}
