package listener

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

var errNoConnect = errors.New("no CONNECT came in time")

// maxNoted bounds the client ids of which is known that they were logged.
const maxNoted = 1000

// generatedID begins the client ids that we make.
const generatedID = "auto-"

// acceptPause is how long we wait when a connection cannot be accepted, as when
// there are too many open files.
const acceptPause = 100 * time.Millisecond

// accept serves what comes in at e, until that is closed.
func (s *Server) accept(e *endpoint) {
	for {
		conn, err := e.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.options.Logger.Warn("no client can be accepted for now", "error", err)
			time.Sleep(acceptPause)
			continue
		}
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			conn.Close()
			return
		}
		crowded := s.greeting.add(conn)
		s.running.Go(func() { s.serve(conn, e) })
		s.mu.Unlock()
		if crowded && s.logged.first("crowd", time.Now()) {
			s.options.Logger.Warn("many have connected and said nothing yet: those that came first are closed", "limit", maxGuests)
		}
	}
}

// serve greets whoever connected at e, and serves it to its end.
func (s *Server) serve(raw net.Conn, e *endpoint) {
	conn, c, err := s.greet(raw, e)
	s.mu.Lock()
	delete(s.greeting.conns, raw)
	s.mu.Unlock()
	if err != nil {
		if err != io.EOF { // whoever only looks whether the port is open is no news
			s.stats.away.Add(1)
			s.logRefusal(raw, err)
		}
		conn.Close()
		return
	}
	if earlier, ok := s.enter(c); ok {
		c.run(earlier)
	} else {
		conn.Close()
	}
}

// logRefusal logs that whoever connected was not let in, of each host once a
// minute.
func (s *Server) logRefusal(conn net.Conn, why error) {
	from := conn.RemoteAddr().String()
	host, _, _ := net.SplitHostPort(from)
	level := slog.LevelInfo
	if !s.logged.first("refusal of "+host, time.Now()) {
		level = slog.LevelDebug
	}
	s.options.Logger.Log(context.Background(), level, "a connection was refused", "from", from, "reason", why)
}

// greet reads CONNECT, and answers it if it is refused; otherwise the session does
// that it returns with the stream that MQTT is spoken on.
func (s *Server) greet(raw net.Conn, e *endpoint) (net.Conn, *session, error) {
	deadline := time.Now().Add(s.options.connectTimeout)
	conn, err := e.wrap(raw, deadline)
	if err != nil {
		return raw, nil, err
	}
	in := newPacketReader(conn, s.options.MaxMessageSize)
	c, err := s.readConnect(in)
	if err == errSilent {
		err = errNoConnect
	}
	var a *account
	if err == nil {
		s.arrived(raw)
		a, err = s.login(&c, e, conn, deadline)
	}
	if err != nil {
		var no *refusal
		if errors.As(err, &no) {
			conn.Write(encodeRefusal(no))
		}
		return conn, nil, err
	}
	conn.SetDeadline(time.Time{})
	if c.generated = c.clientID == ""; c.generated {
		c.clientID = generatedID + rand.Text()
	}
	return conn, newSession(s, conn, in, c, a), nil
}

// arrived notes that the CONNECT of a guest is there.
func (s *Server) arrived(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.greeting.conns[conn]; g != nil {
		g.known = true
	}
}

// note tells the operator, once per client, what a session is worth.
func (s *Server) note(c *session) {
	s.mu.Lock()
	_, known := s.noted[c.key]
	if len(s.noted) == maxNoted {
		clear(s.noted)
	}
	s.noted[c.key] = struct{}{}
	s.mu.Unlock()
	if !known {
		c.log.Info("the session of this client is kept only while it is connected")
	}
}

// readConnect reads the first packet, which must be CONNECT [MQTT-3.1.0-1].
func (s *Server) readConnect(in *packetReader) (connect, error) {
	h, err := in.next()
	if err != nil {
		return connect{}, err
	}
	if h.kind != packets.Connect {
		return connect{}, &refusal{text: "the first packet is not CONNECT"}
	}
	if h.length > readBuffer {
		select {
		case s.longs <- struct{}{}:
			defer func() { <-s.longs }()
		default:
			return connect{}, errLongConnects
		}
	}
	body, err := in.body(h.length)
	if err != nil {
		return connect{}, err
	}
	return decodeConnect(body)
}

// enter makes c the session of its user and client id; one that had it ends
// [MQTT-3.1.4-2], and is returned. ok is false if the server is closing.
func (s *Server) enter(c *session) (earlier *session, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || !s.resolve(c) {
		return nil, false
	}
	earlier = s.sessions[c.key]
	s.sessions[c.key] = c
	s.stats.connected.Add(1)
	c.log.Debug("client connected", "from", c.conn.RemoteAddr(), "version", c.version)
	if earlier != nil {
		earlier.end(ending{err: errTakenOver, code: codeTakenOver})
	}
	return earlier, true
}

// forget removes a session that has ended.
func (s *Server) forget(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[c.key] == c {
		delete(s.sessions, c.key)
	}
}

// clients is the number of clients that are connected.
func (s *Server) clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.sessions {
		c.mu.Lock()
		if c.ending == nil {
			n++
		}
		c.mu.Unlock()
	}
	return n
}
