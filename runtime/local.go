package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// LocalName is what the local broker's queues go by, where connections have
// their names.
const LocalName = "_local"

// Local is the local broker of a gateway. Its methods may be called concurrently
// and must not block.
type Local interface {
	// Deliver gives a message that came from a broker, with its local topic, to
	// the local clients that get it live. It is called in order per connection,
	// once the message is committed wherever it belongs.
	Deliver(types.Message)

	// Counts says whether m is to be given to Retain: it can be kept as the
	// retained message of its topic, or takes the place of one that is.
	Counts(m types.Message) bool

	// Retain keeps m, which has no payload if nothing is to be kept, unless what
	// it has for that topic has a higher number, and returns the numbers that
	// are not needed any more, seq perhaps among them.
	Retain(seq types.Seq, m types.Message, since time.Time) (done []types.Seq)
}

// local is who gets messages that come from brokers: the local broker of a
// gateway, or a program; and what is stored for the clients of the former.
type local struct {
	deliver atomic.Pointer[func(types.Message)]

	broker    Local             // nil: there is none, nor what follows
	queue     *actors.Queue     // of messages for persistent sessions
	consumers *actors.Consumers // those sessions
	values    *actors.Queue     // of retained messages
	retaining retaining
	refused   refused
	noted     refusals
	since     time.Time
}

// Deliver sets who gets the messages that come from brokers, with their local
// topics, besides Options.Local. deliver is called concurrently, in order per
// connection; it must not block. Until it is set they are dropped: in this
// version incoming messages are not stored.
func (rt *Runtime) Deliver(deliver func(types.Message)) { rt.local.deliver.Store(&deliver) }

func (l *local) hand(m types.Message) {
	if l.broker != nil {
		l.broker.Deliver(m)
	}
	if deliver := l.deliver.Load(); deliver != nil {
		(*deliver)(m)
	}
}

// startLocal starts what is stored for local clients, and returns when that is
// known: which sessions there are, with what subscriptions, and what is retained.
// Should a store be in trouble, that is tried again.
func (rt *Runtime) startLocal(ctx context.Context) error {
	if rt.o.Local == nil {
		return nil
	}
	l, err := &rt.local, error(nil)
	l.since = rt.now()
	told := localQueue(rt.config.Local)
	if l.queue, err = rt.startLocalQueue(ctx, LocalName+"/outgoing", told); err != nil {
		return err
	}
	// Values of topics are no messages that wait: they have bounds of their own.
	if l.values, err = rt.startLocalQueue(ctx, LocalName+"/retained", actors.Configure{CompactionInterval: told.CompactionInterval}); err != nil {
		return err
	}
	l.consumers, err = actors.SpawnConsumers(rt.system, actors.ConsumersConfig{
		Name: LocalName + "/sessions", Queue: l.queue, Changed: rt.board.changed, Logger: rt.o.Logger,
	})
	if err != nil {
		return err
	}
	l.broker = rt.o.Local
	rt.loadRetained(ctx)
	return ctx.Err()
}

// startLocalQueue starts one of the queues. One that was started is to be stopped,
// also after an error.
func (rt *Runtime) startLocalQueue(ctx context.Context, name string, told actors.Configure) (*actors.Queue, error) {
	q, err := actors.SpawnQueue(rt.system, actors.QueueConfig{
		Name:               name,
		Open:               func(ctx context.Context) (persistence.Queue, error) { return rt.o.Durable.Open(ctx, name) },
		SyncWithin:         syncWithin(rt.config.Local.Sync),
		MaxAge:             told.MaxAge,
		MaxOpen:            rt.maxOpen(),
		Limits:             told.Limits,
		Fatal:              fatal,
		Compactor:          rt.compactor,
		CompactionInterval: told.CompactionInterval,
		Committed:          rt.o.Latencies(LocalName, types.QueueName(strings.TrimPrefix(name, LocalName+"/"))).Committed,
		Changed:            rt.board.changed,
		Logger:             rt.o.Logger,
	})
	if err != nil {
		return nil, err
	}
	_, trouble := actors.Ask(ctx, q.Ref, func(r actors.Reply[types.QueueStatus]) actors.QueueMessage {
		return actors.Describe{Reply: r}
	})
	if fatal(trouble) {
		return q, trouble
	}
	return q, ctx.Err()
}

// addLocal makes the newest part of r, which is p, go to what is stored for local
// clients, as far as it belongs there: a message at QoS 1 and 2 if a persistent
// session may want it, and every retained one that there is room for (S5.3).
func (rt *Runtime) addLocal(r *routing, p *Passage) error {
	l := &rt.local
	if l.broker == nil {
		return nil
	}
	m, once, number := p.Message, p.Once, uint64(0) // p is not kept
	if m.Retain {
		number = l.retaining.begin(m.Topic)
	}
	wanted := m.QoS > 0 && l.consumers.Wants(m.Topic)
	if !wanted && !m.Retain {
		return nil
	}
	if err := m.Check(int(rt.config.MaxMessageSize)); err != nil {
		l.refused.add(err)
		return err
	}
	entry := persistence.Entry{Message: m, Origin: p.Origin, Enqueued: cmp.Or(p.Since, rt.now())}
	if wanted {
		r.aim(l.queue, entry, once, nil)
	}
	if m.Retain && l.broker.Counts(m) {
		r.aim(l.values, entry, once, func(seq types.Seq) { rt.retained(seq, entry, once, wanted, number) })
	}
	return nil
}

// localQueues lists those that run.
func (l *local) queues() []*actors.Queue {
	var list []*actors.Queue
	for _, q := range []*actors.Queue{l.queue, l.values} {
		if q != nil {
			list = append(list, q)
		}
	}
	return list
}

// stop ends the actors, with all they were given.
func (l *local) stop(ctx context.Context) error {
	var errs []error
	if l.consumers != nil {
		errs = append(errs, l.consumers.Stop(ctx))
	}
	for _, q := range l.queues() {
		errs = append(errs, q.Stop(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop %s: %w", LocalName, err)
	}
	return nil
}

// kill makes the actor of that name fail, and says whether it is one of these.
func (l *local) kill(actor string) bool {
	for _, q := range l.queues() {
		if q.Name() == actor {
			q.Kill()
			return true
		}
	}
	if l.consumers != nil && l.consumers.Name() == actor {
		l.consumers.Kill()
		return true
	}
	return false
}

// status describes what waits for persistent sessions, as a connection would be.
func (l *local) status() types.Status {
	s := types.Status{Name: LocalName, State: types.Online, Since: l.since, Outgoing: l.queue.Status(), Incoming: types.EmptyQueueStatus()}
	s.Outgoing.InFlight = uint64(l.consumers.InFlight())
	l.refused.fill(&s.Outgoing)
	if trouble := l.values.Trouble(); trouble != nil && s.Outgoing.Trouble == "" {
		s.Outgoing.Trouble = trouble.Error()
	}
	return s
}

// Clear is Connection.Clear of the named connection. LocalName stands for what
// waits for persistent sessions of local clients; retained messages stay. The name of an
// orphan is ClearOrphan: it is cleared whole or not at all.
func (rt *Runtime) Clear(ctx context.Context, name string, which types.Selection) (uint64, error) {
	if name != LocalName || rt.local.queue == nil {
		if c := rt.Connection(name); c != nil || !rt.orphaned(name) {
			return c.Clear(ctx, which)
		}
		if which.Queue != types.Outgoing && which.Queue != "" || which.Filter != "" || !which.Before.IsZero() {
			return 0, fmt.Errorf("%w: %s is in no configuration and can only be cleared whole", types.ErrUnknownQueue, name)
		}
		return rt.ClearOrphan(ctx, name)
	}
	switch which.Queue {
	case types.Outgoing, "":
		return clearQueue(ctx, rt.local.queue, name, which, pending)
	case types.DeadLetters:
		return clearQueue(ctx, rt.local.queue, name, which, dead)
	}
	return 0, fmt.Errorf("%w: %q; %s has outgoing and dead", types.ErrUnknownQueue, which.Queue, LocalName)
}
