package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

const (
	defaultReceiveMax     = 100
	defaultMaxMessageSize = 4 << 20

	// defaultConnectTimeout is how long a connection may take until its CONNECT
	// is there.
	defaultConnectTimeout = 10 * time.Second

	// maxLingering is how many sessions may wait, without their connection, for
	// the Sink to take what they left. Beyond it that is dropped and counted.
	maxLingering = 10_000
)

// Options say how a Server is to be. Sink is required, and Endpoints or Bound.
type Options struct {
	Endpoints      []Endpoint // one or more
	Bound          *Bound     // instead of Endpoints; the Server closes it
	Users          []User     // none: usernames are not looked at
	Sink           Sink
	Sessions       Sessions     // keeps the sessions of clients; nil: they end with the connection
	Local          *Local       // what is shared with the runtime, see NewLocal; nil: its own
	MaxMessageSize int          // of a payload, in bytes; 0: 4 MiB
	ReceiveMax     int          // publishes of one client without PUBACK or PUBREC, 1 to 65,535; 0: 100
	Version        string       // shown as $SYS/broker/version
	Logger         *slog.Logger // nil: nothing is logged

	connectTimeout time.Duration // 0: 10 s; for tests
}

func (o *Options) setDefaultsAndValidate() error {
	if o.MaxMessageSize == 0 {
		o.MaxMessageSize = defaultMaxMessageSize
	}
	if o.ReceiveMax == 0 {
		o.ReceiveMax = defaultReceiveMax
	}
	if o.connectTimeout == 0 {
		o.connectTimeout = defaultConnectTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Sink == nil:
		return errors.New("listener: no sink")
	case len(o.Endpoints) == 0 && o.Bound == nil:
		return errors.New("listener: no address to listen on")
	case o.MaxMessageSize < 0:
		return fmt.Errorf("listener: a limit of %d bytes per message", o.MaxMessageSize)
	case o.ReceiveMax < 0 || o.ReceiveMax > 65535:
		return fmt.Errorf("listener: receive_max %d (1 to 65535 is allowed)", o.ReceiveMax)
	}
	return nil
}

// Server is a local MQTT broker. Its methods may be called concurrently.
type Server struct {
	options   Options
	endpoints []*endpoint
	users     atomic.Pointer[users] // changed with the lock
	verifier  *verifier
	longs     chan struct{} // one in it for each CONNECT that is longer than the buffer
	local     *Local
	topics    *topics // of local
	stats     stats
	sys       sysTopics
	logged    logged
	wills     wills

	lingering atomic.Int64   // sessions whose reader is done
	quit      chan struct{}  // closed when Close begins
	abandoned chan struct{}  // closed when Close stops waiting
	running   sync.WaitGroup // goroutines

	mu       sync.Mutex
	closing  bool
	greeting greeting
	sessions map[string]*session // by key; the latest of each
	noted    map[string]struct{} // client ids that were told about their session
}

// Listen opens the addresses and serves the clients that connect to them, until
// Close. ctx bounds the call only.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if err := o.setDefaultsAndValidate(); err != nil {
		return nil, err
	}
	s := &Server{
		options: o, verifier: newVerifier(),
		longs:     make(chan struct{}, maxLongConnects),
		quit:      make(chan struct{}),
		abandoned: make(chan struct{}),
		greeting:  greeting{conns: map[net.Conn]*guest{}},
		sessions:  map[string]*session{},
		noted:     map[string]struct{}{},
		wills:     newWills(),
	}
	if s.local = o.Local; s.local == nil {
		s.local = newLocal(o.Logger)
	}
	s.topics = &s.local.topics
	users, err := newUsers(o.Users, nil)
	if err != nil {
		return nil, err
	}
	s.users.Store(&users)
	bound := o.Bound
	if bound == nil {
		if bound, err = Bind(ctx, o.Endpoints, o.Logger); err != nil {
			return nil, err
		}
	}
	s.endpoints = bound.endpoints
	for _, e := range s.endpoints {
		s.running.Go(func() { s.accept(e) })
	}
	s.running.Go(s.publishDue)
	s.running.Go(func() {
		ticker := time.NewTicker(sysInterval)
		defer ticker.Stop()
		s.reportSys(ticker.C)
	})
	return s, nil
}

func (s *Server) closeEndpoints() {
	for _, e := range s.endpoints {
		e.listener.Close()
	}
}

// Addr is the first of the addresses that are listened on, with its port.
func (s *Server) Addr() net.Addr { return s.endpoints[0].listener.Addr() }

// Addrs are the addresses that are listened on, in the order of the Endpoints.
func (s *Server) Addrs() []net.Addr {
	all := make([]net.Addr, len(s.endpoints))
	for i, e := range s.endpoints {
		all[i] = e.listener.Addr()
	}
	return all
}

// Deliver is that of the Server's Local.
func (s *Server) Deliver(m types.Message) { s.local.Deliver(m) }

// route is Deliver for a message of a local client.
func (s *Server) route(m *types.Message, from *session) { s.local.route(m, from) }

// Close ends the server: nothing more is accepted or read; what the Sink has is
// awaited and answered; wills are published, as mosquitto does when it ends, also
// those that wait for their delay; and the connections are closed. If ctx ends
// before all that is done it is cut short, and an error says so. The Sink must
// work until Close has returned. A second Close waits for the first.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	if first {
		close(s.quit)
	}
	s.greeting.close()
	open := make([]*session, 0, len(s.sessions))
	for _, c := range s.sessions {
		open = append(open, c)
	}
	s.mu.Unlock()
	s.closeEndpoints()
	for _, c := range open {
		c.end(ending{code: codeShuttingDown, patient: true})
	}
	all := make(chan struct{})
	go func() {
		s.running.Wait()
		close(all)
	}()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	if first {
		close(s.abandoned)
	}
	left := len(s.sessions)
	for _, c := range s.sessions {
		c.conn.Close()
	}
	s.mu.Unlock()
	<-all
	return fmt.Errorf("close the local broker: %d clients had messages that were not stored in time: %w", left, ctx.Err())
}
