package actors

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestAskEndsWithItsContext(t *testing.T) {
	s := newTestStore()
	stuck, opening := make(chan struct{}), make(chan struct{})
	s.onOpen = func() error { close(opening); <-stuck; return nil }
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	receive(t, opening, "the store being opened")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Ask(ctx, q.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Reply: r} })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Ask = %v, want that it was cancelled", err)
	}
	s.set(func(s *testStore) { s.onOpen = nil })
	close(stuck)
}

func TestAskOfAnActorThatStopped(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	stop(t, q.Ref)
	stop(t, q.Ref) // once more is no harm
	_, err := Ask(t.Context(), q.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Reply: r} })
	if !errors.Is(err, types.ErrClosed) {
		t.Errorf("Ask = %v, want ErrClosed", err)
	}
	if _, err := q.Put(t.Context(), nil); !errors.Is(err, types.ErrClosed) {
		t.Errorf("Put = %v, want ErrClosed", err)
	}
}

func TestZeroRef(t *testing.T) {
	var r Ref[QueueMessage]
	r.Tell(Settle{})
	r.Kill()
	if r.Name() != "" || r.Stop(t.Context()) != nil {
		t.Error("the zero Ref is somebody")
	}
}

// An actor that is stopped while it waits for its restart answers all the same.
func TestStopDuringARestart(t *testing.T) {
	host := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	sys := NewSystem(SystemOptions{Host: host, RestartAfter: time.Hour, RestartMax: time.Hour})
	s := newTestStore()
	q, err := SpawnQueue(sys, QueueConfig{Name: "q", Open: s.opener("q")})
	if err != nil {
		t.Fatal(err)
	}
	q.Kill()
	answer := make(chan error, 1)
	go func() { _, err := q.Put(context.Background(), nil); answer <- err }()
	host.Root.Stop(host.NewLocalPID(q.Name())) // as a host might
	receive(t, q.Gone(), "the end")
	if err := receive(t, answer, "an answer"); !errors.Is(err, types.ErrClosed) && err != nil {
		t.Errorf("Put = %v", err)
	}
}

// S8.2: more than ten failures in ten seconds do not end an actor, and the
// host's system goes on.
func TestInAHostsSystem(t *testing.T) {
	var log bytes.Buffer
	host := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	sys := NewSystem(SystemOptions{Host: host, Name: "second", RestartAfter: time.Microsecond, RestartMax: time.Microsecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c, err := SpawnCompactor(sys, CompactorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c.Kill()
	}
	stop(t, c)
	if n := strings.Count(log.String(), "actor failed"); n != 100 {
		t.Errorf("%d failures were logged, want 100", n)
	}
	if host.IsStopped() {
		t.Error("the host's system was shut down")
	}
	pid := host.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(string); ok {
			c.Respond(m)
		}
	}))
	if v, err := host.Root.RequestFuture(pid, "hello", testPatience).Result(); err != nil || v != "hello" {
		t.Errorf("the host's actor answers %v, %v", v, err)
	}
}

// Payloads are nobody's business.
func TestMessagesLogWithoutPayload(t *testing.T) {
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	e := entry("t", "secret")
	l.Info("x", "m", Enqueue{Entries: []persistence.Entry{e}})
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "m=1") {
		t.Error(log.String())
	}
}

// A name that is taken is an error, and leaves nothing running.
func TestNameIsTaken(t *testing.T) {
	sys := newTestSystem(t)
	spawn := func() (Ref[CompactorMessage], error) { return SpawnCompactor(sys, CompactorConfig{}) }
	c, err := spawn()
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range 50 {
		if _, err := spawn(); err == nil {
			t.Fatal("two actors of one name")
		}
	}
	for end := time.Now().Add(testPatience); runtime.NumGoroutine() > before+10; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines run, %d did before", runtime.NumGoroutine(), before)
		}
	}
	stop(t, c)
}

// An actor that a host program stops by itself stays stopped, also when it was
// about to be started again.
func TestStoppedByTheHostBeforeARestart(t *testing.T) {
	host := actor.NewActorSystem()
	defer host.Shutdown()
	sys := NewSystem(SystemOptions{Host: host})
	s := newTestStore()
	opening, goOn := make(chan struct{}), make(chan struct{})
	s.onOpen = func() error {
		opening <- struct{}{}
		<-goOn
		return nil
	}
	q, err := SpawnQueue(sys, QueueConfig{Name: "test/outgoing", Open: s.opener("test/outgoing")})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, opening, "the start")
	process, ok := host.ProcessRegistry.GetLocal(q.Name())
	if !ok {
		t.Fatal("it does not run")
	}
	pid := actor.NewPID("nonhost", q.Name())
	process.SendSystemMessage(pid, &actor.Stop{})
	process.SendSystemMessage(pid, &actor.Restart{})
	answer := make(chan error, 1)
	q.Tell(Describe{func(_ types.QueueStatus, err error) { answer <- err }})
	close(goOn)
	receive(t, q.Gone(), "the end")
	if err := receive(t, answer, "the answer to whoever waits"); err == nil {
		t.Error("it was served by an actor that has stopped")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opens != 1 {
		t.Errorf("the store was opened %d times", s.opens)
	}
}
