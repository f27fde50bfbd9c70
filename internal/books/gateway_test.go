package books

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// gateway is a queue with its connection and compactor, the store below it, and the
// books of what is done to it. It runs in a bubble: time passes when nothing else can
// be done, and what has come to rest is at rest.
type gateway struct {
	t       testing.TB
	r       *rand.Rand
	medium  medium
	broker  *loopback.Broker
	flaw    func(stored) stored
	verbose bool
	pass    func(time.Duration) // lets time go by

	sync, maxAge, keep time.Duration
	limits             actors.Limits
	attempts           int

	process   *process
	sys       *actors.System
	queue     *actors.Queue
	compactor actors.Ref[actors.CompactorMessage]
	conn      *actors.Connection

	mu     sync.Mutex // held while what follows is changed: answers come at any time
	ledger *ledger
	asked  int // requests that are not answered
	names  int
	events []string
}

// happened notes what was done, to be shown with what went wrong.
func (g *gateway) happened(format string, args ...any) {
	g.events = append(g.events, fmt.Sprintf(format, args...))
}

// start starts the process; nothing is connected yet.
func (g *gateway) start() error {
	logger := slog.New(slog.DiscardHandler)
	if g.verbose {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	g.process = &process{medium: g.medium, flaw: g.flaw}
	g.sys = actors.NewSystem(actors.SystemOptions{RestartAfter: time.Millisecond, RestartMax: 2 * time.Millisecond})
	var err error
	if g.compactor, err = actors.SpawnCompactor(g.sys, actors.CompactorConfig{}); err != nil {
		return err
	}
	g.queue, err = actors.SpawnQueue(g.sys, actors.QueueConfig{
		Name: queueName, Open: g.process.open, SyncWithin: g.sync, KeepSent: g.keep, MaxAge: g.maxAge, Limits: g.limits,
		ReopenAfter: 2 * time.Millisecond, Compactor: g.compactor, CompactionInterval: 20 * time.Second, Logger: logger,
	})
	return err
}

// connect starts the connection.
func (g *gateway) connect() (err error) {
	g.ledger.linked = true
	g.conn, err = actors.SpawnConnection(g.sys, actors.ConnectionConfig{
		Name: "cloud", Brokers: []actors.Broker{{Name: "mqtt://a", Dialer: g.broker}}, Queue: g.queue,
		MaxQoS: 2, Window: 1 + g.r.IntN(9), QoS2Window: 1 + g.r.IntN(5), MaxAttempts: g.attempts,
		Options: func(context.Context) (broker.ConnectOptions, error) {
			return broker.ConnectOptions{ClientID: "gateway", Protocol: broker.MQTT311}, nil
		},
		Backoff: actors.Backoff{First: 20 * time.Millisecond, Max: time.Second},
	})
	return err
}

// stop ends what runs.
func (g *gateway) stop() {
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	if g.process.isDead() {
		g.broker.Cut()
	}
	var errs []error
	if g.conn != nil {
		errs = append(errs, g.conn.Stop(ctx))
	}
	errs = append(errs, g.queue.Stop(ctx), g.compactor.Stop(ctx))
	g.conn = nil
	for _, err := range errs {
		if err != nil {
			g.ledger.says("it does not stop: %v", err)
		}
	}
	g.rest()
}

// rest returns when all who asked for something have an answer, and nothing moves.
func (g *gateway) rest() {
	synctest.Wait()
	for end := time.Now().Add(2 * time.Minute); ; {
		g.mu.Lock()
		n := g.asked
		g.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			g.ledger.says("%d requests are not answered", n)
			return
		}
		g.pass(time.Millisecond)
	}
}

// ask counts a request; its answer is to call the function that it returns.
func (g *gateway) ask() (answered func(note func(l *ledger))) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	once := false
	return func(note func(l *ledger)) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if once {
			return
		}
		once = true
		g.asked--
		note(g.ledger)
	}
}

// audit has the books compared, at rest. If the process has died that is for the
// next one.
func (g *gateway) audit() {
	g.rest()
	if g.process.isDead() || len(g.ledger.wrong) > 0 {
		return
	}
	f, err := g.look()
	if g.process.isDead() { // by a call of it
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.ledger.says("it cannot be read: %v", err)
		return
	}
	g.ledger.audit(f)
	g.enter()
}

// enter has the books know what holds from now on, beside what held in this phase.
func (g *gateway) enter() {
	l := g.ledger
	l.drops = l.drops || g.limits.Overflow != actors.Reject
	l.linked = l.linked || g.conn != nil
	if g.maxAge > 0 && (l.maxAge == 0 || g.maxAge < l.maxAge) {
		l.maxAge = g.maxAge
	}
}

func (g *gateway) look() (f found, err error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	for end := time.Now().Add(time.Minute); g.queue.Unread() || g.queue.Trouble() != nil; {
		if time.Now().After(end) {
			return f, fmt.Errorf("the store is in trouble: %w", g.queue.Trouble())
		}
		if g.process.isDead() {
			return f, nil
		}
		g.pass(time.Millisecond)
	}
	fetch := func(dead, sent bool) []persistence.Record {
		f, e := actors.Ask(ctx, g.queue.Ref, func(r actors.Reply[actors.Fetched]) actors.QueueMessage {
			return actors.Fetch{Dead: dead, Sent: sent, Reply: r}
		})
		if err == nil {
			err = e
		}
		return f.Records
	}
	describe := func() (s types.QueueStatus) {
		s, e := actors.Ask(ctx, g.queue.Ref, func(r actors.Reply[types.QueueStatus]) actors.QueueMessage { return actors.Describe{Reply: r} })
		if err == nil {
			err = e
		}
		return s
	}
	// Reading can find damage, and what has expired: it is done when that changes nothing.
	for again := true; again && err == nil; {
		before := describe()
		f.pending, f.dead, f.kept = fetch(false, false), fetch(true, false), fetch(false, true)
		f.status = describe()
		again = f.status.Pending != before.Pending || f.status.DeadPending != before.DeadPending || f.status.Kept != before.Kept
	}
	if err != nil {
		return f, err
	}
	synctest.Wait()
	f.arrived, f.now = g.broker.Published(), time.Now()
	return f, err
}
