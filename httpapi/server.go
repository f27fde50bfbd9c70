package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi/metrics"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Runtime is what the API shows and steers.
type Runtime interface {
	Status() []types.Status
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
	AllowedHosts   []string
	MaxMessageSize int64
	Logger         *slog.Logger
	Metrics        *metrics.Metrics // nil: of no version, and without latencies
}

// Server serves the API. It is safe for concurrent use.
type Server struct {
	o        Options
	rt       Runtime
	listener net.Listener
	http     *http.Server
	served   chan error
}

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
	s := &Server{o: o, rt: rt, listener: l, served: make(chan error, 1)}
	s.http = &http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    3*types.MaxTopic + 16<<10, // a topic is in the URL, with %XX for each byte at worst
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	go func() { s.served <- s.http.Serve(l) }()
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops taking requests and waits for those under way, as long as ctx
// allows.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.Handle("GET /metrics", s.o.Metrics.Handler(s.rt.Status, s.o.Logger))
	mux.HandleFunc("GET /api/connections", s.statuses)
	mux.HandleFunc("GET /api/connections/{name}", s.status)
	mux.HandleFunc("POST /api/connections/{name}/clear", s.clear)
	mux.HandleFunc("POST /api/connections/{name}/publish", s.publish)
	mux.HandleFunc("POST /api/connections/{name}/pause", s.steer(s.rt.Pause, "paused"))
	mux.HandleFunc("POST /api/connections/{name}/resume", s.steer(s.rt.Resume, "resumed"))
	mux.HandleFunc("POST /api/connections/{name}/drain", s.drain)
	mux.HandleFunc("POST /api/connections/{name}/compact", s.compact)
	mux.HandleFunc("POST /api/connections/{name}/replay", s.replay)
	mux.HandleFunc("GET /api/connections/{name}/messages", s.messages)
	mux.HandleFunc("GET /api/connections/{name}/export", s.export)
	mux.HandleFunc("POST /api/connections/{name}/import", s.load)
	mux.HandleFunc("POST /api/connections/{name}/messages/{seq}/requeue", s.requeue)
	mux.HandleFunc("DELETE /api/connections/{name}/messages/{seq}", s.remove)
	mux.HandleFunc("GET /api/connections/{name}/consumers", s.consumers)
	mux.HandleFunc("DELETE /api/connections/{name}/consumers/{consumer}", s.removeConsumer)
	mux.HandleFunc("POST /api/publish", s.forward)
	mux.HandleFunc("POST /api/reload", s.reload)
	mux.HandleFunc("GET /api/reload", s.lastReload)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("no such page: %s %s", r.Method, r.URL.Path), "see mqttdb status, or GET /api/connections; what an orphan has can be seen when it is configured again")
	})
	return mux
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
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
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
