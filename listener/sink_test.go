package listener

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// stored is what the Sink of a test was given.
type stored struct {
	message types.Message
	origin  types.Origin
	done    func(error)
}

// testSink is a Sink in memory. Its zero value commits at once.
type testSink struct {
	mu      sync.Mutex
	hold    bool // commits wait for release
	full    bool // there is no room
	err     error
	all     []stored
	held    []stored
	rooms   []func()
	refused int
	changed chan struct{} // closed and replaced at each change
}

func (s *testSink) Publish(messages []types.Passage, room func()) int {
	for i, p := range messages {
		if !s.publish(p.Message, p.Origin, p.Done, room) {
			return i
		}
	}
	return len(messages)
}

// publish takes one message.
func (s *testSink) publish(m types.Message, origin types.Origin, done func(error), room func()) bool {
	s.mu.Lock()
	defer s.note()
	if s.full {
		s.refused++
		s.rooms = append(s.rooms, room)
		s.mu.Unlock()
		return false
	}
	e := stored{m, origin, done}
	s.all = append(s.all, e)
	if s.hold {
		s.held = append(s.held, e)
		s.mu.Unlock()
		return true
	}
	err := s.err
	s.mu.Unlock()
	done(err)
	return true
}

func (s *testSink) note() {
	s.mu.Lock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.mu.Unlock()
}

// until waits until ok, which is called with the lock.
func (s *testSink) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		if ok() {
			s.mu.Unlock()
			return
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// count waits until n messages were stored, and returns them.
func (s *testSink) count(t testing.TB, n int) []stored {
	t.Helper()
	s.until(t, "messages stored", func() bool { return len(s.all) >= n })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) != n {
		t.Fatalf("%d messages stored, want %d", len(s.all), n)
	}
	return append([]stored(nil), s.all...)
}

// release commits what is held, in order.
func (s *testSink) release(err error) {
	s.mu.Lock()
	held := s.held
	s.held = nil
	s.mu.Unlock()
	for _, e := range held {
		e.done(err)
	}
}

func (s *testSink) set(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
}

// makeRoom ends full and says so.
func (s *testSink) makeRoom() {
	s.mu.Lock()
	s.full = false
	rooms := s.rooms
	s.rooms = nil
	s.mu.Unlock()
	for _, room := range rooms {
		room()
	}
}

// lines is a log that a test can wait for.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.text.Write(b)
}

// wait waits until the log contains what.
func (l *lines) wait(t testing.TB, what string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		text := l.text.String()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if bytes.Contains([]byte(text), []byte(what)) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the log does not say %q:\n%s", what, text)
		}
	}
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(what))
}

// start runs a server for a test, and returns it with its log.
func start(t testing.TB, o Options) (*Server, *lines) {
	t.Helper()
	log := &lines{}
	var out io.Writer = log
	if o.Endpoints == nil {
		o.Endpoints = []Endpoint{{Addr: "127.0.0.1:0"}}
	}
	o.Logger = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Listen(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s, log
}

func port(s *Server) string {
	_, p, _ := net.SplitHostPort(s.Addr().String())
	return p
}

// until waits for a state that has no event.
func until(t testing.TB, s *Server, what string, ok func(Stats) bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(s.Stats()); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s; %+v", what, s.Stats())
		}
	}
}
