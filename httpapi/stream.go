package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// maxStreams is how many clients the stream has at most.
	maxStreams = 256

	// streamInterval is the shortest time between two statuses for a client.
	streamInterval = 250 * time.Millisecond

	// streamWrite is how long a client may take for a message.
	streamWrite = 10 * time.Second

	// Of a client that is not there any more nobody hears: it is asked.
	pingInterval = 30 * time.Second
	pongWait     = 2*pingInterval + 10*time.Second

	// streamProtocol is the subprotocol of the stream, and tokenProtocol begins the one
	// that carries the token: a page cannot set headers of a WebSocket.
	streamProtocol = "mqttdb"
	tokenProtocol  = "mqttdb.token."
)

// upgrader makes WebSockets of requests whose Host and Origin guard has seen.
func (s *Server) upgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: streamWrite,
		ReadBufferSize:   512, // nothing is expected
		WriteBufferPool:  &s.buffers,
		Subprotocols:     []string{streamProtocol},
		CheckOrigin:      func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, code int, reason error) {
			refuse(w, code, reason, "GET /api/stream is for WebSockets; GET /api/connections answers once")
		},
	}
}

// stream tells a client all that changes, until it leaves.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	c := newClient()
	hello, ok := s.hub.join(c, s.o.Version, s.o.Demo != nil, maxStreams)
	if !ok {
		refuse(w, http.StatusServiceUnavailable, errors.New("there are too many streams, or the gateway is stopping"), "close other status pages, or ask GET /api/connections")
		return
	}
	defer s.hub.leave(c)
	conn, err := s.upgrader().Upgrade(w, r, nil)
	if err != nil {
		return // it was answered
	}
	s.hub.connect(c, conn)
	gone := make(chan struct{})
	go listenFor(conn, gone)
	if send(conn, hello) == nil {
		s.follow(conn, c, gone)
	}
	conn.Close() // ends listenFor
	<-gone
}

// follow sends what waits for c until one of the two ends.
func (s *Server) follow(conn *websocket.Conn, c *client, gone <-chan struct{}) {
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	var last time.Time        // of the last statuses
	var over <-chan time.Time // when the next may be sent; nil: nothing waits for that
	for {
		select {
		case <-c.bell:
		case <-over:
			over = nil
		case <-ping.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(streamWrite)) != nil {
				return
			}
			continue
		case <-gone:
			return
		case <-c.ended:
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, "the gateway stops"), time.Now().Add(time.Second))
			return
		}
		wait := streamInterval - time.Since(last)
		list, left := s.hub.take(c, wait <= 0)
		if left && over == nil {
			over = time.After(wait)
		}
		if wait <= 0 && len(list) > 0 {
			last = time.Now()
		}
		for _, m := range list {
			if send(conn, m) != nil {
				return
			}
		}
	}
}

// send writes a message; a client that does not take it in time has left.
func send(conn *websocket.Conn, m *websocket.PreparedMessage) error {
	if err := conn.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	return conn.WritePreparedMessage(m)
}

// listenFor closes gone when the client has left. Nothing it says matters.
func listenFor(conn *websocket.Conn, gone chan<- struct{}) {
	defer close(gone)
	conn.SetReadLimit(1024)
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(pongWait)) }
	conn.SetPongHandler(alive)
	_ = alive("")
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}
