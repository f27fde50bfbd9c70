package listener

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// maxRequest bounds the request that becomes a WebSocket, in bytes.
	maxRequest = 16 << 10

	// socketBuffer is what a WebSocket keeps beside the buffers that every client
	// has, once for reading and once for writing.
	socketBuffer = 4 << 10

	// parting is how long the close frame may take.
	parting = 100 * time.Millisecond
)

// socket is a WebSocket that carries MQTT [MQTT-6], as the stream of its bytes:
// where one message ends and the next begins has no meaning [MQTT-6.0.0-2].
type socket struct {
	*websocket.Conn
	limited *limited  // what it is on
	message io.Reader // what is left of the present one
	close   sync.Once
}

// limited is a connection that a WebSocket writes to. The WebSocket sets a deadline
// of its own for each write, and takes no other while one is under way: that of
// limit holds all the same.
type limited struct {
	net.Conn
	mu   sync.Mutex
	most time.Time // zero: none
}

// SetWriteDeadline is called by the WebSocket.
func (l *limited) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.most.IsZero() && (t.IsZero() || l.most.Before(t)) {
		t = l.most
	}
	return l.Conn.SetWriteDeadline(t)
}

// limit sets the deadline of all writes, also of one that is under way.
func (l *limited) limit(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = t
	return l.Conn.SetWriteDeadline(t)
}

var _ net.Conn = (*socket)(nil)

// upgrade makes a WebSocket of a connection whose deadline is set, or answers
// why not. The path does not matter.
func upgrade(conn net.Conn, e *Endpoint) (net.Conn, error) {
	in := bufio.NewReader(io.LimitReader(conn, maxRequest))
	r, err := http.ReadRequest(in)
	if err == io.EOF {
		return nil, err // it only looked whether the port is open
	}
	if err != nil {
		return nil, fmt.Errorf("no request for a WebSocket: %w", err)
	}
	under := &limited{Conn: conn}
	w := &answer{conn: under, in: in, header: http.Header{}}
	if !speaksMQTT(r) {
		http.Error(w, "this address is for MQTT over WebSocket (subprotocol mqtt)", http.StatusBadRequest)
		return nil, errors.New("a request that is not for MQTT over WebSocket")
	}
	up := websocket.Upgrader{
		HandshakeTimeout: defaultConnectTimeout,
		ReadBufferSize:   socketBuffer, WriteBufferSize: socketBuffer,
		Subprotocols: subprotocols(),
		CheckOrigin:  e.welcomes,
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil, fmt.Errorf("%w (Origin %.100q, Host %.100q; a page of another origin is let in by allowed_origins)", err, r.Header.Get("Origin"), r.Host)
	}
	return &socket{Conn: ws, limited: under}, nil
}

// subprotocols are the names of MQTT: that of the standard [MQTT-6.0.0-3], and
// the one before it that old clients still ask for.
func subprotocols() []string { return []string{"mqtt", "mqttv3.1"} }

func speaksMQTT(r *http.Request) bool {
	for _, asked := range websocket.Subprotocols(r) {
		for _, name := range subprotocols() {
			if asked == name {
				return true
			}
		}
	}
	return false
}

// welcomes says whether a request may come from where it comes from. Browsers
// always say which page it is, other programs nothing. A page is welcome if it is
// listed; or if it came from this very address, called by its number or as
// localhost: under any other name it may be one that was made to stand for this
// address for a moment (DNS rebinding).
func (e *Endpoint) welcomes(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	for _, allowed := range e.AllowedOrigins {
		if strings.EqualFold(strings.TrimSuffix(allowed, "/"), origins[0]) {
			return true
		}
	}
	scheme := "http"
	if e.TLS != nil {
		scheme = "https"
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Scheme != scheme || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err == nil || strings.EqualFold(u.Hostname(), "localhost")
}

// answer is the answer to a request that did not become a WebSocket, or is just
// becoming one.
type answer struct {
	conn   net.Conn
	in     *bufio.Reader
	header http.Header
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	fmt.Fprintf(a.conn, "HTTP/1.1 %d %s\r\nConnection: close\r\n", status, http.StatusText(status))
	a.header.Write(a.conn)
	io.WriteString(a.conn, "\r\n")
}

func (a *answer) Write(b []byte) (int, error) { return a.conn.Write(b) }

// Hijack implements http.Hijacker.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.conn, bufio.NewReadWriter(a.in, bufio.NewWriterSize(a.conn, 256)), nil
}

// Read reads bytes of binary messages; another kind is an error [MQTT-6.0.0-1].
func (s *socket) Read(b []byte) (int, error) {
	for {
		if s.message == nil {
			kind, message, err := s.NextReader()
			if err != nil {
				return 0, socketError(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, &protocolError{code: codeProtocolError, text: "a WebSocket message that is not binary"}
			}
			s.message = message
		}
		n, err := s.message.Read(b)
		if err == io.EOF {
			s.message, err = nil, nil
		}
		if n > 0 || err != nil || len(b) == 0 {
			return n, socketError(err)
		}
	}
}

// socketError makes a WebSocket that was closed one that has ended.
func socketError(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
		return io.EOF
	}
	return err
}

// Write writes one binary message.
func (s *socket) Write(b []byte) (int, error) {
	if err := s.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.limited.limit(t) }

// SetDeadline implements net.Conn.
func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// Close says goodbye, if that can be had at once, and closes the connection.
func (s *socket) Close() error {
	var err error
	s.close.Do(func() {
		s.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(parting))
		err = s.Conn.Close()
	})
	return err
}
