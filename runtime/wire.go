package runtime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// wire is the part of a connection that talks to the broker: it can be replaced
// while the queue stays.
type wire struct {
	mu     sync.Mutex
	ends   ends
	paused bool // also by the next ends
	over   bool // stopped for good
}

// ends are the actors at both ends of a link.
type ends struct {
	link    *actors.Connection
	inbound *actors.Inbound
}

// present returns the actors there are.
func (w *wire) present() ends {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends
}

// pause says whether there is to be a link.
func (w *wire) pause(paused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = paused
	switch {
	case w.ends.link == nil:
	case paused:
		w.ends.link.Tell(actors.Pause{})
	default:
		w.ends.link.Tell(actors.Resume{})
	}
}

// kill makes the actor of that name fail, and says whether it is one of these.
func (w *wire) kill(actor string) bool {
	e := w.present()
	switch {
	case e.link != nil && actor == e.link.Name():
		e.link.Kill()
	case e.inbound != nil && actor == e.inbound.Name():
		e.inbound.Kill()
	default:
		return false
	}
	return true
}

// finish lets what is in flight finish, but not longer than within, ends the link
// properly and stops the actor that has it.
func (e *ends) finish(ctx context.Context, within time.Duration) error {
	if e.link == nil {
		return nil
	}
	_, err := actors.Ask(ctx, e.link.Ref, func(r actors.Reply[int]) actors.ConnectionMessage {
		return actors.Finish{Within: within, Reply: r}
	})
	return errors.Join(err, e.link.Stop(ctx))
}

// stop ends the wire for good.
func (w *wire) stop(ctx context.Context, within time.Duration) error {
	w.mu.Lock()
	w.over = true
	e := w.ends
	w.mu.Unlock()
	err := e.finish(ctx, within)
	if e.inbound != nil {
		err = errors.Join(err, e.inbound.Stop(ctx))
	}
	return err
}

// startWire starts the actors that dial the brokers as c is configured.
func (c *Connection) startWire() error {
	brokers, err := c.rt.brokers(*c.config())
	if err != nil {
		return err
	}
	return c.connect(brokers)
}

// connect starts what links to one of brokers, as c is configured, in place of an
// earlier link that has ended. The inbound actor goes on, for it knows which
// messages are half-way through their handshake.
func (c *Connection) connect(brokers []actors.Broker) error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	if c.wire.over {
		return nil
	}
	s := c.current.Load()
	if s.Bridge {
		for i := range brokers {
			brokers[i].Dialer = &bridge{Dialer: brokers[i].Dialer, echoes: s.routes.Echo(), log: c.rt.o.Logger.With("conn", c.name)}
		}
	}
	if c.wire.ends.inbound == nil {
		inbound, err := actors.SpawnInbound(c.rt.system, actors.InboundConfig{
			Name: c.name + "/inbound", Accept: c.accept, Store: c.store, Deliver: c.hand, Queue: c.incoming.queue,
			Changed: c.rt.board.changed, Logger: c.rt.o.Logger,
		})
		if err != nil {
			return err
		}
		c.wire.ends.inbound = inbound
	}
	link, err := actors.SpawnConnection(c.rt.system, c.linkConfig(s, brokers))
	if err != nil {
		return err
	}
	c.wire.ends.link = link
	return nil
}

// linkConfig is how the link of c is to be; c.wire is locked.
func (c *Connection) linkConfig(s *settings, brokers []actors.Broker) actors.ConnectionConfig {
	cfg := &s.Connection
	filters, more := c.filters(s)
	return actors.ConnectionConfig{
		Name:            c.name,
		Brokers:         brokers,
		SharedSession:   cfg.SharedSession,
		Options:         c.connectOptions,
		Queue:           c.queue,
		Session:         c.sessionQueue(),
		Inbound:         c.wire.ends.inbound.Ref,
		Filters:         filters,
		MoreFilters:     more,
		Window:          cfg.Window,
		WindowBytes:     cfg.WindowBytes,
		QoS2Window:      cfg.QoS2Window,
		Birth:           cfg.Birth.Message(),
		Close:           cfg.Close.Message(),
		MaxQoS:          cfg.MaxQoS.Of(2),
		ClearRetain:     cfg.Retain == config.RetainClear,
		StallTimeout:    cfg.StallTimeout,
		AssumeDelivered: cfg.SessionLost == config.AssumeDelivered,
		MaxAttempts:     cfg.MaxAttempts,
		Rate:            rateOf(cfg.Rate),
		Paused:          c.wire.paused,
		After:           c.wire.ends.link,
		Delivered:       c.rt.o.Latencies(c.name, types.Outgoing).Delivered,
		Changed:         c.rt.board.changed,
		Logger:          c.rt.o.Logger,
	}
}

func rateOf(r config.Rate) actors.Rate { return actors.Rate{Messages: r.Messages, Bytes: r.Bytes} }

// tell tells the actors that stay what they can learn while they run.
func (c *Connection) tell(s *settings) {
	c.queue.Tell(s.outgoing())
	if q := c.incoming.queue; q != nil {
		q.Tell(s.incoming())
	}
	if link := c.wire.present().link; link != nil {
		link.Tell(actors.SetRate{Rate: rateOf(s.Rate)})
	}
}
