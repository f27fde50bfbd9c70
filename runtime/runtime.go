// Package runtime runs connections for a program that embeds them: it starts
// their actors, stores what the program publishes, and says how it goes. It
// chooses no technology: stores and dialers are handed in.
package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// ActorSystem is where a host program's actors live.
type ActorSystem = actor.ActorSystem

// Options say what to run, and on what.
type Options struct {
	Config config.Config // validated

	Durable  persistence.Store // of connections that persist; closed by Close
	Volatile persistence.Store // of the others; closed by Close

	// Dialer makes what opens links to the broker of a connection. Of a list of
	// brokers it is asked for each, as if it were the only one.
	Dialer func(config.Connection) (broker.Dialer, error)

	// Login says how to greet the broker of a connection; it is asked before
	// each attempt. ctx ends with the attempt.
	Login func(ctx context.Context, c config.Connection) (username string, password []byte, err error)

	// Local is the local broker. What its persistent sessions have not got yet
	// and its retained messages are stored as "_local". nil: there is none.
	Local Local

	// Paused is asked, when a connection is started, whether that is not to dial before
	// Resume. nil: none.
	Paused func(connection string) bool

	// Buffered is asked, when a connection is started that does not persist what its
	// broker sends, whether that is kept in memory for named subscriptions. nil: of none.
	Buffered func(connection string) bool

	// Latencies is asked, when a queue or a link is started, who is told how long
	// messages take in a queue of a connection or of LocalName. nil: nobody.
	Latencies func(connection string, queue types.QueueName) types.Latencies

	System     *ActorSystem // the host's; nil: one of our own
	SystemName string       // what the names of our actors begin with; "mqttdb" if empty
	Logger     *slog.Logger // nil: none
}

// Runtime runs connections. It may be used concurrently.
type Runtime struct {
	id        string        // drawn at the start
	config    config.Config // as it was at the start, for what cannot be changed since
	o         Options
	system    *actors.System
	compactor actors.Ref[actors.CompactorMessage]
	lineup    atomic.Pointer[lineup]
	reload    reload
	local     local
	board     board
	closing   sync.Once
	ending    chan struct{} // closed when Close begins
	closed    chan struct{}
	closeErr  error
}

// connections lists those that run at present, in the order of the configuration.
func (rt *Runtime) connections() []*Connection { return rt.lineup.Load().connections() }

func (rt *Runtime) now() time.Time { return time.Now() }

// Open starts everything that the configuration names. Brokers need not be
// reachable; stores must be ours to open, and not be in use.
func Open(ctx context.Context, o Options) (*Runtime, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	rt := &Runtime{id: rand.Text()[:16], config: o.Config, o: o, ending: make(chan struct{}), closed: make(chan struct{})}
	rt.reload.init(o.Config)
	rt.lineup.Store(newLineup())
	rt.system = actors.NewSystem(actors.SystemOptions{Host: o.System, Name: o.SystemName, Logger: o.Logger})
	if rt.o.Latencies == nil {
		rt.o.Latencies = func(string, types.QueueName) types.Latencies { return types.Latencies{} }
	}
	if err := rt.start(ctx); err != nil {
		return nil, errors.Join(err, rt.Close(context.WithoutCancel(ctx)))
	}
	return rt, nil
}

func (rt *Runtime) start(ctx context.Context) error {
	var err error
	if rt.compactor, err = actors.SpawnCompactor(rt.system, actors.CompactorConfig{Logger: rt.o.Logger}); err != nil {
		return err
	}
	next := newLineup()
	rt.lineup.Store(next) // nobody has rt yet; close stops what was started
	for _, cfg := range rt.config.Connections {
		c, settings := rt.newConnection(cfg.Name), newSettings(cfg)
		err := c.startQueues(ctx, settings, rt.config.Connections)
		if c.queue != nil {
			next.add(c, settings)
		}
		if err != nil {
			return fmt.Errorf("start connection %s: %w", cfg.Name, err)
		}
	}
	if err := rt.startLocal(ctx); err != nil {
		return fmt.Errorf("start the queues of local clients: %w", err)
	}
	if next.orphans, err = rt.findOrphans(ctx); err != nil {
		return err
	}
	go rt.sweepSources()
	for _, c := range next.members { // last: what one brings may belong to any of the others
		if err := c.startPumps(rt.config.Connections); err != nil {
			return fmt.Errorf("start connection %s: %w", c.name, err)
		}
		if err := c.startWire(); err != nil {
			return fmt.Errorf("start connection %s: %w", c.name, err)
		}
	}
	return nil
}

// Connection returns the named connection, nil if there is none; what is asked
// of nil fails with types.ErrUnknownConnection.
func (rt *Runtime) Connection(name string) *Connection { return rt.lineup.Load().named(name) }

// Connections returns all connections, in the order of the configuration.
func (rt *Runtime) Connections() []*Connection { return rt.connections() }

// Status describes all connections; after them, if there is a local broker, what
// waits for its persistent sessions, as LocalName; and the orphans: queues with
// messages for a connection that is not configured.
func (rt *Runtime) Status() []types.Status {
	now := rt.lineup.Load()
	out := make([]types.Status, 0, len(now.members)+1+len(now.orphans))
	for _, c := range now.members {
		out = append(out, c.Status())
	}
	if rt.local.broker != nil {
		out = append(out, rt.local.status())
	}
	return append(out, now.orphans...)
}

// Running lists the names of the actors that run.
func (rt *Runtime) Running() []string { return rt.system.Running() }

// Kill makes the actor of that name fail, as by a bug: a drill. Nothing may be
// lost by it.
func (rt *Runtime) Kill(actor string) error {
	if actor == rt.compactor.Name() {
		rt.compactor.Kill()
		return nil
	}
	if rt.local.kill(actor) {
		return nil
	}
	for _, c := range rt.connections() {
		switch {
		case actor == c.queue.Name():
			c.queue.Kill()
		case c.wire.kill(actor), c.incoming.kill(actor):
		default:
			continue
		}
		return nil
	}
	return fmt.Errorf("no actor %q runs", actor)
}

// Close lets what is in flight finish, but not longer than ctx allows, and stops
// everything. What was not sent stays stored. A host's actor system goes on.
func (rt *Runtime) Close(ctx context.Context) error {
	rt.closing.Do(func() {
		close(rt.ending)
		rt.reload.end(ctx)
		rt.closeErr = rt.close(ctx)
		close(rt.closed)
	})
	<-rt.closed
	return rt.closeErr
}

// finishShare is how much of the time to close what is in flight may take.
const finishShare = 0.6

func (rt *Runtime) close(ctx context.Context) error {
	within := 2 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		within = time.Duration(float64(time.Until(deadline)) * finishShare)
	}
	var wg sync.WaitGroup
	running := rt.connections()
	errs := make([]error, len(running))
	for i, c := range running {
		wg.Go(func() { errs[i] = c.stop(ctx, within) })
	}
	wg.Wait()
	errs = append(errs, rt.local.stop(ctx), rt.compactor.Stop(ctx), rt.closeStores(ctx))
	rt.board.close()
	return errors.Join(errs...)
}

// closeStores closes the stores once no queue uses them. If ctx ends before that
// it is done later: a queue has one owner, and what is closed under its hands
// may lose what it is just writing.
func (rt *Runtime) closeStores(ctx context.Context) error {
	closed := make(chan error, 1)
	running := rt.local.queues()
	for _, c := range append(rt.connections(), rt.reload.leaving()...) {
		running = append(running, c.queues()...)
	}
	go func() {
		for _, q := range running {
			<-q.Gone()
		}
		closed <- errors.Join(rt.o.Durable.Close(), rt.o.Volatile.Close())
	}()
	for _, q := range running {
		select {
		case <-q.Gone():
			continue
		default:
		}
		select {
		case <-q.Gone():
		case <-ctx.Done():
			return fmt.Errorf("close the stores: %s is still at work: %w", q.Name(), ctx.Err())
		}
	}
	return <-closed
}
