package sidecar

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Options say how to serve.
type Options struct {
	Version string     // of the program
	Token   string     // that HELLO must have; "": none
	Open    OpenEngine // starts the runtime of a data directory

	// Stop is called when a client asks for the end. It must not block.
	Stop func()

	Logger *slog.Logger // nil: none
}

// Server serves clients. It may be used concurrently.
type Server struct {
	o    Options
	http *http.Server

	context context.Context // ends with it
	cancel  context.CancelFunc
	work    sync.WaitGroup // clients

	opening sync.Mutex // one house at a time

	mu       sync.Mutex
	over     bool
	houses   map[string]*house
	sessions map[string]*client
	clients  map[*client]bool
}

const (
	// maxFrame is the largest frame, in bytes.
	maxFrame = maxMessage + 128<<10

	// windowBytes is how much a client may have published and not been answered.
	windowBytes = 16 << 20

	helloTime = 10 * time.Second
)

// New returns a Server.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, houses: make(map[string]*house), sessions: make(map[string]*client), clients: make(map[*client]bool)}
	s.context, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: helloTime,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve serves those who come by l, which it closes, until Close. It returns nil then.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(corkListener{l}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve clients: %w", err)
	}
	return nil
}

// serve is for one client.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" {
		http.Error(w, "this is not for pages in a browser", http.StatusForbidden)
		return
	}
	if !s.enter() {
		http.Error(w, "the sidecar ends", http.StatusServiceUnavailable)
		return
	}
	defer s.work.Done()
	upgrader := websocket.Upgrader{
		HandshakeTimeout: helloTime, ReadBufferSize: 64 << 10, WriteBufferSize: 4 << 10, Subprotocols: []string{Subprotocol},
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it was answered
	}
	defer conn.Close()
	wire, ok := conn.NetConn().(*corked)
	if !ok || conn.Subprotocol() != Subprotocol {
		end(conn, &closing{websocket.CloseProtocolError, "the subprotocol must be " + Subprotocol})
		return
	}
	wire.cork()
	conn.SetReadLimit(maxFrame)
	end(conn, s.greet(conn, wire))
}

// enter counts a client, unless s ends.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.work.Add(1)
	return true
}

// closing is why a WebSocket is closed.
type closing struct {
	code   int
	reason string
}

func (c *closing) Error() string { return c.reason }

// Close codes of our own.
const (
	closeVersion  = 4000
	closeToken    = 4001
	closeTakeover = 4002
	closeDataDir  = 4003
)

// maxReason is the longest reason of a close, in bytes [RFC 6455, 5.5].
const maxReason = 123

// end says why a WebSocket is closed; it closes it.
func end(conn *websocket.Conn, why error) {
	var c *closing
	switch {
	case errors.As(why, &c):
	case errors.Is(why, errFrame):
		c = &closing{websocket.CloseProtocolError, why.Error()}
	default:
		return // it has gone
	}
	reason := c.reason
	for len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(c.code, reason), time.Now().Add(time.Second))
	if wire, ok := conn.NetConn().(*corked); ok {
		_ = wire.SetWriteDeadline(time.Now().Add(time.Second))
		_ = wire.Flush()
	}
}

var sessionPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)

// greet takes HELLO and serves the client; it returns why that ends.
func (s *Server) greet(conn *websocket.Conn, wire *corked) error {
	_ = conn.SetReadDeadline(time.Now().Add(helloTime))
	kind, b, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	f, err := ReadFrame(b)
	if err != nil {
		return err
	}
	var hello Hello
	switch {
	case kind != websocket.BinaryMessage || f.Type != HelloType:
		return fmt.Errorf("%w: the first frame must be HELLO, this is %s", errFrame, f.Type)
	}
	if err := f.header(&hello); err != nil {
		return err
	}
	if hello.Version != Version {
		return &closing{closeVersion, fmt.Sprintf("version %d of the protocol is not spoken, version %d is: install a package and a program of the same version", hello.Version, Version)}
	}
	if s.o.Token != "" && subtle.ConstantTimeCompare([]byte(hello.Token), []byte(s.o.Token)) != 1 {
		return &closing{closeToken, "token missing or wrong"}
	}
	if !sessionPattern.MatchString(hello.Session) {
		return fmt.Errorf("%w: session must be 16 to 64 of A-Za-z0-9_-", errFrame)
	}
	h, err := s.house(hello.DataDir)
	if err != nil {
		s.o.Logger.Error("a data directory cannot be used", "dir", hello.DataDir, "error", err)
		return &closing{closeDataDir, err.Error()}
	}
	_ = conn.SetReadDeadline(time.Time{})
	c := newClient(s, h, conn, wire, hello)
	if !s.register(c) {
		return &closing{websocket.CloseNormalClosure, "the sidecar ends"}
	}
	defer s.unregister(c)
	return c.run()
}

// house is that of a data directory.
func (s *Server) house(dir string) (*house, error) {
	if err := checkDataDir(dir); err != nil {
		return nil, err
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	s.mu.Lock()
	h, over := s.houses[dir], s.over
	s.mu.Unlock()
	if h != nil || over {
		return h, nil
	}
	h, err := openHouse(s.context, dir, s.o.Open, s.o.Logger, s.poke)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.houses[dir] = h
	s.mu.Unlock()
	return h, nil
}

// poke has all clients told the status anew.
func (s *Server) poke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		select {
		case c.poked <- struct{}{}:
		default:
		}
	}
}

// register makes c the client of its session, once the one before has ended.
func (s *Server) register(c *client) bool {
	for {
		s.mu.Lock()
		before := s.sessions[c.session]
		if s.over || before == nil {
			ok := !s.over
			if ok {
				s.sessions[c.session], s.clients[c] = c, true
			}
			s.mu.Unlock()
			return ok
		}
		s.mu.Unlock()
		before.end(&closing{closeTakeover, "the session goes on with another connection"})
		<-before.gone
	}
}

func (s *Server) unregister(c *client) {
	s.mu.Lock()
	delete(s.clients, c)
	delete(s.sessions, c.session)
	s.mu.Unlock()
	close(c.gone)
}

// Close ends all clients and closes the runtimes: what is in flight may finish, as
// long as ctx allows.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.over = true
	list := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		list = append(list, c)
	}
	s.mu.Unlock()
	err := s.http.Close() // the listeners: those who are served are not its any more
	for _, c := range list {
		c.end(&closing{websocket.CloseNormalClosure, "the sidecar ends"})
	}
	left := make(chan struct{})
	go func() {
		s.work.Wait()
		close(left)
	}()
	select {
	case <-left:
	case <-time.After(leaveTime):
	case <-ctx.Done():
	}
	s.cancel() // who is still at work waits for nothing any more
	s.opening.Lock()
	defer s.opening.Unlock()
	for _, h := range s.houses {
		err = errors.Join(err, h.close(ctx))
	}
	return err
}

// leaveTime is how long what clients have published last may take to be stored.
const leaveTime = 2 * time.Second
