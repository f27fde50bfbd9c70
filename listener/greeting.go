package listener

import (
	"errors"
	"net"
)

const (
	// maxGuests is how many connections may be there whose CONNECT is not.
	maxGuests = 1000

	// maxLongConnects is how many CONNECTs longer than readBuffer may be arriving
	// at once: nobody knows yet who sends them.
	maxLongConnects = 32
)

var errLongConnects = errors.New("too many long CONNECT packets at once")

// greeting holds the connections that no session has yet. The lock of the server
// guards it.
type greeting struct {
	conns map[net.Conn]*guest
	last  uint64 // number of the newest guest
}

// guest is a connection that no session has yet.
type guest struct {
	number uint64
	known  bool // its CONNECT is there: the turnstile bounds those
}

// add takes a new connection. If there are too many, the one that has said
// nothing for longest is closed, and crowded is true: whoever means it says
// CONNECT long before others have come in such numbers.
func (g *greeting) add(conn net.Conn) (crowded bool) {
	g.last++
	g.conns[conn] = &guest{number: g.last}
	if len(g.conns) <= maxGuests {
		return false
	}
	var oldest net.Conn
	strangers, number := 0, g.last
	for c, guest := range g.conns {
		if guest.known {
			continue
		}
		if strangers++; guest.number < number {
			oldest, number = c, guest.number
		}
	}
	if strangers <= maxGuests || oldest == nil {
		return false
	}
	delete(g.conns, oldest)
	oldest.Close()
	return true
}

func (g *greeting) close() {
	for conn := range g.conns {
		conn.Close()
	}
}
