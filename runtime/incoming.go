package runtime

import (
	"context"
	"errors"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// incoming is what is stored of the messages from a broker until all to whom they
// belong have them, where persist.incoming asks for that.
type incoming struct {
	queue     *actors.Queue     // nil: nothing is stored
	consumers *actors.Consumers // who gets what is in it
	pumps     pumps
}

// startIncoming starts the incoming queue of c and its consumers, if there are to
// be any; see startQueues.
func (c *Connection) startIncoming(ctx context.Context, s *settings, all []config.Connection) error {
	rt, name := c.rt, s.Name+"/incoming"
	if s.Persist.Incoming != config.On && (rt.o.Buffered == nil || !rt.o.Buffered(s.Name)) {
		return nil
	}
	q, err := actors.SpawnQueue(rt.system, actors.QueueConfig{
		Name:               name,
		Open:               func(ctx context.Context) (persistence.Queue, error) { return c.openIncoming(ctx, name) },
		SyncWithin:         syncWithin(s.Sync),
		CommitDelay:        s.CommitDelay,
		Limits:             s.incoming().Limits,
		MaxAge:             s.Limits.Incoming.MaxAge,
		Fatal:              fatal,
		Compactor:          rt.compactor,
		CompactionInterval: s.CompactionInterval,
		Committed:          rt.o.Latencies(s.Name, types.Incoming).Committed,
		Changed:            rt.board.changed,
		Logger:             rt.o.Logger,
	})
	if err != nil {
		return err
	}
	c.incoming.queue = q
	_, trouble := actors.Ask(ctx, q.Ref, func(r actors.Reply[types.QueueStatus]) actors.QueueMessage {
		return actors.Describe{Reply: r}
	})
	if fatal(trouble) {
		return trouble
	}
	c.asking.mu.Lock() // which refilter waits for
	c.asking.all = all
	c.incoming.consumers, err = actors.SpawnConsumers(rt.system, actors.ConsumersConfig{
		Name: s.Name + "/consumers", Queue: q, Changed: rt.board.changed, Logger: rt.o.Logger,
		Established: c.established(all), Named: namedConsumer, Subscribed: c.refilter,
	})
	c.asking.mu.Unlock()
	if err != nil {
		return err
	}
	c.establish(ctx, all) // before anything is stored, or it would not be for them
	return ctx.Err()
}

// stop ends the actors, with all they were given.
func (i *incoming) stop(ctx context.Context) error {
	errs := []error{i.pumps.stop(ctx)}
	if i.consumers != nil {
		errs = append(errs, i.consumers.Stop(ctx))
	}
	if i.queue != nil {
		errs = append(errs, i.queue.Stop(ctx))
	}
	return errors.Join(errs...)
}

// kill makes the actor of that name fail, and says whether it is one of these.
func (i *incoming) kill(actor string) bool {
	switch {
	case i.queue != nil && actor == i.queue.Name():
		i.queue.Kill()
	case i.consumers != nil && actor == i.consumers.Name():
		i.consumers.Kill()
	default:
		return i.pumps.kill(actor)
	}
	return true
}

// status describes the queue; the zero status with nothing in it if there is none.
func (i *incoming) status() types.QueueStatus {
	if i.queue == nil {
		return types.EmptyQueueStatus()
	}
	s := i.queue.Status()
	if i.consumers != nil {
		s.InFlight = uint64(i.consumers.InFlight())
	}
	return s
}
