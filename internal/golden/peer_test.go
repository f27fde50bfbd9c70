package golden

import (
	"io"
	"net"
)

// peer is the broker's end of a network connection: it notes what the gateway
// says, and says what the conversation wants.
type peer struct {
	story     *story
	name      string // the broker's
	near, far net.Conn
	greeted   bool // CONNECT came; guarded by story.mu, as are the others
	answered  bool
	silent    bool
	serving   int // messages that are still to be acknowledged, and not noted
}

func newPeer(s *story, name string) *peer {
	p := &peer{story: s, name: name}
	p.near, p.far = net.Pipe()
	go p.listen()
	return p
}

// listen notes what comes until the connection ends.
func (p *peer) listen() {
	defer p.far.Close()
	said := false // DISCONNECT
	for {
		first, body, err := readPacket(p.far)
		if err != nil {
			if err == io.EOF && !said {
				p.notes("> (hangs up)")
			}
			return
		}
		switch first >> 4 {
		case pingreq:
			go p.far.Write([]byte{pingresp << 4, 0})
			continue
		case connect:
			p.story.mu.Lock()
			p.greeted = true
			p.story.mu.Unlock()
		}
		if p.serves(first, body) {
			continue
		}
		said = first>>4 == disconnect
		line := "> " + show(first, body)
		if first>>4 == connect && p.name != theBroker {
			line += ", at " + p.name
		}
		p.notes(line)
	}
}

// serve makes it acknowledge so many messages.
func (p *peer) serve(messages int) {
	p.story.mu.Lock()
	defer p.story.mu.Unlock()
	p.serving = messages
}

func (p *peer) served() bool {
	p.story.mu.Lock()
	defer p.story.mu.Unlock()
	return p.serving == 0
}

// serves acknowledges a packet, if it is to.
func (p *peer) serves(first byte, body []byte) bool {
	p.story.mu.Lock()
	defer p.story.mu.Unlock()
	if p.serving == 0 {
		return false
	}
	switch qos := first >> 1 & 3; {
	case first>>4 == publish && qos == 0:
		p.serving--
	case first>>4 == publish:
		_, rest := cutText(body)
		answer := byte(0x40)
		if qos == 2 {
			answer = 0x50
		} else {
			p.serving--
		}
		go p.far.Write([]byte{answer, 2, rest[0], rest[1]})
	case first>>4 == 6: // PUBREL
		p.serving--
		go p.far.Write([]byte{0x70, 2, body[0], body[1]})
	default:
		return false
	}
	return true
}

func (p *peer) notes(line string) {
	p.story.mu.Lock()
	silent := p.silent
	p.story.mu.Unlock()
	if !silent {
		p.story.says("%s", line)
	}
}

// send says something. It does not wait until the gateway has read it: it might
// not.
func (p *peer) send(b []byte) {
	p.story.mu.Lock()
	p.answered = true
	p.story.mu.Unlock()
	go p.far.Write(b)
}

// close ends the connection as a broker that is gone does.
func (p *peer) close() {
	p.silence()
	p.far.Close()
}

// silence makes it note nothing more.
func (p *peer) silence() {
	p.story.mu.Lock()
	defer p.story.mu.Unlock()
	p.silent, p.answered = true, true
}
