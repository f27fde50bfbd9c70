package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Session is the persistent session of a local client: its subscriptions, and
// what of the messages stored for local clients it was given and has not
// acknowledged. It belongs to the client's present connection until that leaves
// it. Its methods may be called concurrently.
type Session struct {
	Present       bool // it was there before
	Subscriptions []actors.Subscription
	State         []byte // what was last told to Acknowledge or Leave

	rt    *Runtime
	name  string
	token actors.Token
}

// SessionOptions say whose session to open.
type SessionOptions struct {
	ClientID string
	Clean    bool          // end the one that there is
	Expiry   time.Duration // it ends when its client was away for so long; 0, or more than configured: as configured
	Receiver actors.Receiver
	Window   int // messages that may be on their way at a time
}

// ahead is how many windows a session is given before it acknowledges, and
// aheadBytes how much that may be.
const (
	ahead      = 2
	aheadBytes = 1 << 20
)

var errNoSessions = errors.New("sessions are not stored here")

// OpenSession finds or makes the persistent session of a client, and takes it
// from whoever has it. It returns when it is committed that there is one, and, if it
// is new, that nothing is left of what the client has published before. The
// receiver may be called before.
func (rt *Runtime) OpenSession(ctx context.Context, o SessionOptions) (*Session, error) {
	if rt.local.consumers == nil {
		return nil, errNoSessions
	}
	late := lateJoin{consumers: rt.local.consumers}
	joined, err := actors.Ask(ctx, rt.local.consumers.Ref, func(r actors.Reply[actors.Joined]) actors.ConsumersMessage {
		return actors.Join{
			Name: o.ClientID, Clean: o.Clean, Expiry: rt.SessionExpiry(o.Expiry),
			Receiver: o.Receiver, Messages: ahead * o.Window, Bytes: aheadBytes,
			Reply: func(j actors.Joined, err error) { late.answered(j, err); r(j, err) },
		}
	})
	if err != nil {
		late.giveUp()
		return nil, fmt.Errorf("open the session of %s: %w", o.ClientID, err)
	}
	s := &Session{joined.Present, joined.Subscriptions, joined.State, rt, o.ClientID, joined.Token}
	if o.Clean || !s.Present { // what the client published before belongs to no session of its
		if err := rt.awaitEndOfExchanges(ctx, o.ClientID); err != nil {
			s.Leave(0, nil, nil)
			return nil, err
		}
	}
	return s, nil
}

// lateJoin leaves a session that nobody waits for any more when it is opened.
type lateJoin struct {
	consumers *actors.Consumers
	remove    bool // end it, if there was none before

	mu     sync.Mutex
	gaveUp bool
	joined *actors.Joined
}

func (l *lateJoin) answered(j actors.Joined, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.joined = &j
		l.leave()
	}
}

func (l *lateJoin) giveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaveUp = true
	l.leave()
}

func (l *lateJoin) leave() {
	if l.gaveUp && l.joined != nil {
		l.consumers.Tell(actors.Leave{Consumer: l.joined.Token, End: l.remove && !l.joined.Present})
	}
}

// EndSession ends the persistent session of a client, if there is one, with the
// exchanges in which it has published, and returns when that is committed.
func (rt *Runtime) EndSession(ctx context.Context, clientID string) error {
	if rt.local.consumers == nil {
		return nil
	}
	_, err := actors.Ask(ctx, rt.local.consumers.Ref, func(r actors.Reply[bool]) actors.ConsumersMessage {
		return actors.Remove{Name: clientID, Reply: r}
	})
	if err != nil {
		return fmt.Errorf("end the session of %s: %w", clientID, err)
	}
	return rt.awaitEndOfExchanges(ctx, clientID)
}

// SessionExpiry is how long a session is kept whose client asks for d; 0: for as
// long as possible.
func (rt *Runtime) SessionExpiry(d time.Duration) time.Duration {
	if limit := rt.config.SessionExpiry; d <= 0 || d > limit {
		return limit
	}
	return d
}

// SessionWindow is how many messages may be on their way to a session.
func (rt *Runtime) SessionWindow() int { return rt.config.Local.Window }

// Subscribe adds subscriptions, or replaces those of the same filter, and returns
// when they are committed: which ones are new. They count for everything that is
// stored from then on, and nothing at QoS 0 is.
func (s *Session) Subscribe(ctx context.Context, list []actors.Subscription) (fresh []bool, err error) {
	return actors.Ask(ctx, s.rt.local.consumers.Ref, func(r actors.Reply[[]bool]) actors.ConsumersMessage {
		return actors.Subscribe{Consumer: s.token, List: list, Reply: r}
	})
}

// Unsubscribe removes subscriptions and returns when that is committed: which ones
// there were.
func (s *Session) Unsubscribe(ctx context.Context, filters []string) (had []bool, err error) {
	return actors.Ask(ctx, s.rt.local.consumers.Ref, func(r actors.Reply[[]bool]) actors.ConsumersMessage {
		return actors.Unsubscribe{Consumer: s.token, Filters: filters, Reply: r}
	})
}

// Acknowledge says what the client is done with, what has expired before it was sent, and the state of its session,
// which is not to be modified any more; nil: as it was. Both are recorded
// together, soon; if committed is set it is called when they are synced.
func (s *Session) Acknowledge(done, expired []types.Seq, state []byte, committed func(error)) {
	m := actors.Acknowledge{Consumer: s.token, Done: done, Expired: expired, State: state}
	if committed != nil {
		m.Reply = func(_ actors.Noted, err error) { committed(err) }
	}
	s.rt.local.consumers.Tell(m)
}

// Leave gives the session back: what was delivered above last has not left. expiry
// replaces that of OpenSession unless it is nil.
func (s *Session) Leave(last types.Seq, state []byte, expiry *time.Duration) {
	if expiry != nil {
		d := s.rt.SessionExpiry(*expiry)
		expiry = &d
	}
	s.rt.local.consumers.Tell(actors.Leave{Consumer: s.token, Last: last, State: state, Expiry: expiry})
}

// copyBytes is how much of what is copied for a session is stored at once.
const copyBytes = 256 << 10

// AwaitRetained returns once all that anybody has been given is retained, as far as
// it is to be, or cannot be: what Local retains is not older than that.
func (s *Session) AwaitRetained(ctx context.Context) error {
	_, err := actors.Ask(ctx, s.rt.local.values.Ref, func(r actors.Reply[actors.Noted]) actors.QueueMessage {
		return actors.Note{Reply: r} // answered behind what was told before
	})
	return err
}

// Copy stores messages for this session alone: retained ones, for a new
// subscription. Their numbers are those of Local.Retain, and come back as the id
// of Delivery.Origin. It returns when they are committed: the numbers in the queue
// of the first and the last one.
func (s *Session) Copy(ctx context.Context, list []types.Message, numbers []types.Seq) (first, last types.Seq, err error) {
	var entries []persistence.Entry
	size := 0
	for i, m := range list {
		entries = append(entries, persistence.Entry{Message: m, Origin: actors.CopyFor(s.name, uint64(numbers[i])), Enqueued: s.rt.now()})
		if size += m.Size(); size < copyBytes && i < len(list)-1 {
			continue
		}
		at, err := put(ctx, s.rt.local.queue, entries)
		if err != nil {
			return first, last, fmt.Errorf("store retained messages for %s: %w", s.name, err)
		}
		if first == 0 {
			first = at
		}
		last = at + types.Seq(len(entries)-1)
		entries, size = nil, 0
	}
	return first, last, nil
}

// put stores entries, also beyond the limits of q, and returns when they are
// committed: the number of the first.
func put(ctx context.Context, q *actors.Queue, entries []persistence.Entry) (first types.Seq, err error) {
	if err := q.Admission().AcquireBeyond(ctx, actors.CostOf(entries)); err != nil {
		return 0, err
	}
	answer := completions.Get().(*completion)
	q.Tell(actors.Enqueue{Entries: entries, Done: answer})
	select {
	case s := <-answer.done:
		answer.reuse()
		return s.first, s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
