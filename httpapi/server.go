package httpapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi/metrics"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Runtime is what the API shows and steers.
type Runtime interface {
	Status() []types.Status

	// Watch gives what Status returns, now and after changes, at most four times a
	// second, until ctx ends or the runtime is closed; then it closes the channel. A
	// slow reader holds up nobody.
	Watch(ctx context.Context) <-chan []types.Status

	// The others return an error that wraps types.ErrUnknownConnection for a
	// name that is not configured.
	Publish(ctx context.Context, connection string, m types.Message) (types.Seq, error)
	Clear(ctx context.Context, connection string, c types.Selection) (uint64, error)
	Pause(connection string) error
	Resume(connection string) error

	// Compact gives back disk space of the connection's queues, or of one of them;
	// if ctx ends first it goes on by itself.
	Compact(ctx context.Context, connection string, queue types.QueueName) (types.Compaction, error)

	Messages
	Archive
	Consumers

	// Replay sends again what was sent and is kept; if ctx ends first it goes on by
	// itself.
	Replay(ctx context.Context, connection string, which types.Replay) (types.Replayed, error)

	// Forward publishes m as a local client would, and returns its number in the
	// queue of each connection that forwards it: when it is stored, or when
	// every broker has it.
	Forward(ctx context.Context, m types.Message, delivered bool) (map[string]types.Seq, error)

	// Drain waits until the queue is empty, or until ctx ends.
	Drain(ctx context.Context, connection string) error

	// Reload reads the configuration again, asked for by somebody. If it returns
	// an error nothing has changed.
	Reload(ctx context.Context, by string) (runtime.Reloaded, error)

	// LastReload is how the latest Reload ended, whoever asked for it; nil if
	// there was none.
	LastReload() *Reload
}

// Options of a server.
type Options struct {
	Addr           string       // host:port
	Listener       net.Listener // of Bind, instead of Addr; the Server closes it
	TLS            *tls.Config  // nil: without TLS
	Token          string       // what requests have to carry; "": nothing
	AllowedHosts   []string     // by which it may be called, besides those of loopback
	MaxMessageSize int64
	Version        string
	Logger         *slog.Logger
	Metrics        *metrics.Metrics // nil: of no version, and without latencies

	// Report keeps payload as the retained message of a topic of the local broker, or
	// none if payload is empty. It is called by one goroutine and must not block.
	// nil: statuses are not published.
	Report func(topic string, payload []byte)

	// Demo passes on what is to be demonstrated: DemoCut, DemoMend, DemoFill, DemoFree or
	// DemoKill. nil: it is no demonstration.
	Demo func(verb string) error

	// For tests; 0: the defaults.
	readTime time.Duration // that a request may take to come: 30 s
	pace     int           // requests a second: maxPace
}

// Server serves the API. It is safe for concurrent use.
type Server struct {
	o        Options
	rt       Runtime
	listener net.Listener
	http     *http.Server
	served   chan error

	secret     secret
	pace       *rate.Limiter // of all requests
	guesses    *rate.Limiter // of wrong tokens
	complaints *rate.Limiter // in the log
	buffers    sync.Pool     // of the stream

	hub      *hub
	events   events
	history  history
	observed chan struct{} // closed when nobody observes any more
	leave    context.CancelFunc
	stopping atomic.Bool
}

// What one server answers at most, so that neither a program that runs wild nor one
// that guesses takes the machine from the queues.
const (
	maxConnections = 1024
	maxPace        = 2000 // requests a second
	maxGuesses     = 5    // a second
)

// Bind opens an address that is not served yet, so that a gateway knows that the
// port is its own before it opens its queues. A port in use gives an error that
// says so and wraps syscall.EADDRINUSE.
func Bind(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("http.listen: %w (another program has this port: stop it, or set http.listen to another port)", err)
	} else if err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	return l, nil
}

// Listen starts a server, see Bind.
func Listen(ctx context.Context, rt Runtime, o Options) (*Server, error) {
	l := o.Listener
	if l == nil {
		var err error
		if l, err = Bind(ctx, o.Addr); err != nil {
			return nil, err
		}
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New("")
	}
	if o.readTime == 0 {
		o.readTime = 30 * time.Second
	}
	if o.pace == 0 {
		o.pace = maxPace
	}
	s := &Server{
		o: o, rt: rt, listener: l, served: make(chan error, 1), secret: newSecret(o.Token),
		pace: rate.NewLimiter(rate.Limit(o.pace), o.pace), guesses: rate.NewLimiter(maxGuesses, 4*maxGuesses), complaints: rate.NewLimiter(1, 20),
		hub: newHub(), observed: make(chan struct{}),
	}
	s.http = &http.Server{
		Handler:           s.guard(s.mux()),
		ReadHeaderTimeout: min(5*time.Second, o.readTime),
		ReadTimeout:       o.readTime,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    3*types.MaxTopic + 16<<10, // a topic is in the URL, with %XX for each byte at worst
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	watching, leave := context.WithCancel(context.WithoutCancel(ctx))
	s.leave = leave
	observer := newObserver(s)
	go func() {
		defer close(s.observed)
		observer.run(watching)
	}()
	l = netutil.LimitListener(l, maxConnections)
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS)
	}
	go func() {
		s.served <- s.http.Serve(l)
		close(s.served) // a second Close finds nothing
	}()
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops taking requests, ends the streams, and waits for the requests under
// way, as long as ctx allows.
func (s *Server) Close(ctx context.Context) error {
	s.stopping.Store(true)
	s.leave()
	<-s.observed
	s.hub.close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if served, ok := <-s.served; ok && !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (s *Server) statuses(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.rt.Status())
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	for _, st := range s.rt.Status() {
		if st.Name == name {
			answer(w, http.StatusOK, st)
			return
		}
	}
	fail(w, fmt.Errorf("%w: %q", types.ErrUnknownConnection, name))
}

func (s *Server) clear(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	sel := types.Selection{Queue: types.QueueName(query.Get("queue")), Filter: query.Get("topic")}
	if sel.Filter != "" {
		if err := types.CheckFilter(sel.Filter); err != nil {
			refuse(w, http.StatusBadRequest, err, "topic is an MQTT topic filter")
			return
		}
	}
	if age := query.Get("older_than"); age != "" {
		d, err := config.ParseDuration(age)
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("older_than: %w", err), "older_than is a duration like 24h")
			return
		}
		sel.Before = time.Now().Add(-d)
	}
	n, err := s.rt.Clear(r.Context(), r.PathValue("name"), sel)
	if err != nil {
		fail(w, err)
		return
	}
	s.o.Logger.Info("cleared by request", "conn", r.PathValue("name"), "count", n, "topic", sel.Filter, "older_than", query.Get("older_than"), "from", r.RemoteAddr)
	answer(w, http.StatusOK, map[string]uint64{"cleared": n})
}

func (s *Server) steer(do func(string) error, what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := do(r.PathValue("name")); err != nil {
			fail(w, err)
			return
		}
		s.o.Logger.Info(what+" by request", "conn", r.PathValue("name"), "from", r.RemoteAddr)
		answer(w, http.StatusOK, map[string]string{"status": what})
	}
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone then
}

// fail answers with the code that fits err.
func fail(w http.ResponseWriter, err error) {
	code, hint := classify(err)
	refuse(w, code, err, hint)
}

// classify returns the code that fits err, and what to do about it.
func classify(err error) (code int, hint string) {
	code = http.StatusInternalServerError
	var store *types.StoreError
	switch {
	case errors.Is(err, types.ErrUnknownConnection):
		code, hint = http.StatusNotFound, "mqttdb status and GET /api/connections list them"
	case errors.Is(err, types.ErrUnknownMessage):
		code = http.StatusNotFound
	case errors.Is(err, types.ErrUnknownQueue):
		code = http.StatusBadRequest
	case errors.Is(err, types.ErrInFlight), errors.Is(err, types.ErrNotKept):
		code = http.StatusConflict
	case errors.Is(err, os.ErrDeadlineExceeded):
		code, hint = http.StatusRequestTimeout, "the request came too slowly"
	case errors.Is(err, types.ErrTooLarge):
		code = http.StatusRequestEntityTooLarge
	case errors.Is(err, types.ErrInvalidTopic), errors.Is(err, types.ErrInvalidMessage):
		code = http.StatusBadRequest
	case errors.Is(err, types.ErrDiskFull):
		code = http.StatusInsufficientStorage
		if errors.As(err, &store) {
			hint = store.Hint
		}
	case errors.Is(err, types.ErrQueueFull) && !errors.As(err, &store):
		code, hint = http.StatusInsufficientStorage, "mqttdb status shows how much is pending; drain or clear the queue, raise limits.max_messages or max_bytes, or let limits.overflow drop messages"
	case errors.Is(err, types.ErrBusy), errors.Is(err, types.ErrClosed), errors.Is(err, types.ErrInterrupted):
		code = http.StatusServiceUnavailable
	case errors.As(err, &store):
		code, hint = http.StatusServiceUnavailable, store.Hint
	}
	return code, hint
}

func refuse(w http.ResponseWriter, code int, err error, hint string) {
	answer(w, code, map[string]string{"error": err.Error(), "hint": hint})
}
