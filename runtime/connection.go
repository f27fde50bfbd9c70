package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Connection is a broker connection and its queue. It may be used concurrently.
type Connection struct {
	rt       *Runtime
	name     string
	source   string // of the origin of what its broker sends (S6.2)
	current  atomic.Pointer[settings]
	queue    *actors.Queue
	incoming incoming
	wire     wire
	asking   asking
	tracker  tracker
	refused  refused
	noted    refusals // of what other brokers have sent

	clientID atomic.Pointer[string] // that was made and stored; nil until the store was opened
}

// settings are the configuration of a connection, and what follows from it. They
// are never modified.
type settings struct {
	config.Connection
	routes *config.Routes
}

func newSettings(cfg config.Connection) *settings { return &settings{cfg, cfg.Routes()} }

// config is how c is configured at present; it must not be modified.
func (c *Connection) config() *config.Connection { return &c.current.Load().Connection }

// routes maps messages as c is configured at present.
func (c *Connection) routes() *config.Routes { return c.current.Load().routes }

func (rt *Runtime) newConnection(name string) *Connection {
	c := &Connection{rt: rt, name: name, source: rt.id + "/" + name}
	c.wire.paused = rt.o.Paused != nil && rt.o.Paused(name)
	return c
}

// Name is the name of the connection.
func (c *Connection) Name() string { return c.name }

// startQueues starts the queues of c, and not yet what dials. It fails if a store
// is not ours to open; any other trouble of the store is left to the queue, which
// tries again. What was started all the same is to be stopped then.
//
// all are the connections that there are going to be.
func (c *Connection) startQueues(ctx context.Context, s *settings, all []config.Connection) error {
	if err := c.startQueue(ctx, s); err != nil {
		return err
	}
	return c.startIncoming(ctx, s, all)
}

// startQueue starts the outgoing queue.
func (c *Connection) startQueue(ctx context.Context, s *settings) error {
	c.current.Store(s)
	rt, cfg := c.rt, &s.Connection
	store := rt.o.Durable
	if cfg.Persist.Outgoing == config.Off {
		store = rt.o.Volatile
	}
	name := cfg.Name + "/outgoing"
	var err error
	c.queue, err = actors.SpawnQueue(rt.system, actors.QueueConfig{
		Name:               name,
		Open:               func(ctx context.Context) (persistence.Queue, error) { return c.open(ctx, store, name) },
		SyncWithin:         syncWithin(cfg.Sync),
		CommitDelay:        cfg.CommitDelay,
		MaxAge:             s.outgoing().MaxAge,
		Limits:             s.outgoing().Limits,
		KeepSent:           cfg.KeepSent,
		MaxOpen:            rt.maxOpen(),
		Fatal:              fatal,
		Compactor:          rt.compactor,
		CompactionInterval: cfg.CompactionInterval,
		Committed:          rt.o.Latencies(cfg.Name, types.Outgoing).Committed,
		Changed:            rt.board.changed,
		Logger:             rt.o.Logger,
	})
	if err != nil {
		return err
	}
	_, trouble := actors.Ask(ctx, c.queue.Ref, func(r actors.Reply[types.QueueStatus]) actors.QueueMessage {
		return actors.Describe{Reply: r}
	})
	if fatal(trouble) {
		return trouble
	}
	return ctx.Err()
}

// fatal says whether it is of no use to try again.
func fatal(trouble error) bool {
	for _, known := range []error{types.ErrInUse, types.ErrNewerFormat, types.ErrForeign, fs.ErrPermission} {
		if errors.Is(trouble, known) {
			return true
		}
	}
	return false
}

func syncWithin(s config.Sync) time.Duration {
	if s == config.Never {
		return -1
	}
	return s.Interval()
}

// connectOptions says how to greet the broker, anew for each attempt.
func (c *Connection) connectOptions(ctx context.Context) (broker.ConnectOptions, error) {
	cfg := c.config()
	clientID := cfg.ClientID
	if made := c.clientID.Load(); clientID == "" && made != nil {
		clientID = *made
	} else if clientID == "" {
		return broker.ConnectOptions{}, errors.New("the client id is not known before the store can be opened")
	}
	username, password, err := c.rt.o.Login(ctx, *cfg)
	if err != nil {
		return broker.ConnectOptions{}, err
	}
	will := cfg.Will.Message()
	if will != nil && cfg.Retain == config.RetainClear {
		will.Retain = false
	}
	return broker.ConnectOptions{
		ClientID:     clientID,
		CleanSession: cfg.CleanSession || !keepsSession(cfg.Persist),
		Username:     username,
		Password:     password,
		KeepAlive:    cfg.KeepAlive,
		Will:         will,
		Protocol:     broker.Protocol(cfg.Protocol.Level()),
		MaxPacket:    int(c.rt.config.MaxMessageSize) + types.MaxTopic + 16,
		MaxPayload:   int(c.rt.config.MaxMessageSize),
	}, nil
}

// Status describes the connection and its queues.
func (c *Connection) Status() types.Status {
	if c == nil {
		return types.Status{State: types.Offline}
	}
	s := types.Status{
		Name: c.name, Broker: c.config().Endpoint(),
		State: types.Offline, Outgoing: c.queue.Status(),
		Incoming: c.incoming.status(),
	}
	c.refused.fill(&s.Outgoing)
	w := c.wire.present()
	if w.inbound != nil {
		if n := w.inbound.Oversized(); n > 0 {
			s.Incoming.Refused, s.Incoming.RefusedBy["too_large"] = n, n
		}
	}
	if w.link != nil {
		link := w.link.Status()
		s.State, s.Since, s.LastError, s.Hint = link.State, link.Since, link.LastError, link.Hint
		s.Broker = link.Broker
		s.Outgoing.InFlight = uint64(link.InFlight)
		if !link.NextAttempt.IsZero() {
			s.NextAttempt = &link.NextAttempt
		}
	}
	return s
}

// Clear forgets the messages that are selected, pending ones, dead letters, or what
// was sent and is kept, but for those in flight, and returns how many, when that is
// synced. After that none of them is sent: those in flight are not published again,
// and count as sent or cleared when their handshakes are over.
func (c *Connection) Clear(ctx context.Context, which types.Selection) (uint64, error) {
	if c == nil {
		return 0, types.ErrUnknownConnection
	}
	q, of, err := c.pick(which.Queue)
	if err != nil {
		return 0, err
	}
	return clearQueue(ctx, q, c.name, which, of)
}

// clearQueue forgets the messages that are selected in a queue of what has that
// name: pending ones, or dead letters.
func clearQueue(ctx context.Context, q *actors.Queue, name string, which types.Selection, of section) (uint64, error) {
	if which.Filter != "" {
		if err := types.CheckFilter(which.Filter); err != nil {
			return 0, err
		}
	}
	cleared, err := actors.Ask(ctx, q.Ref, func(r actors.Reply[actors.Cleared]) actors.QueueMessage {
		return actors.Clear{Filter: which.Filter, Before: which.Before, Dead: of == dead, Sent: of == sent, Reply: r}
	})
	if err != nil {
		return 0, fmt.Errorf("clear %s: %w", name, err)
	}
	return cleared.Count, nil
}

// Pause closes the link until Resume. Messages are still stored.
func (c *Connection) Pause() error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	c.wire.pause(true)
	return nil
}

// Resume undoes Pause.
func (c *Connection) Resume() error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	c.wire.pause(false)
	return nil
}

// Redial dials the broker now, unless the connection is paused, and gives up a link
// that there is: for a program that knows that the network has changed.
func (c *Connection) Redial() error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	if link := c.wire.present().link; link != nil {
		link.Tell(actors.Redial{})
	}
	return nil
}

// stop ends the actors: the link once what is in flight has finished, or when
// that took too long; then the queue, with all it was given.
func (c *Connection) stop(ctx context.Context, within time.Duration) error {
	errs := []error{c.wire.stop(ctx, within)}
	errs = append(errs, c.incoming.stop(ctx), c.queue.Stop(ctx))
	c.endAllLive()
	c.tracker.close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	return nil
}
