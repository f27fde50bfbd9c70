package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// SubscribeOptions say what to subscribe to. Filters must be set, unless there is a
// subscription of that Name already.
type SubscribeOptions struct {
	// Name makes the subscription durable: its messages wait for it while nobody has
	// it, across restarts, until they are acknowledged, for as long as Expiry says.
	// The connection has to store what comes in (persist.incoming). At most 128 bytes;
	// no slash. "": what comes while it is there, at most once.
	Name string

	// Filters select messages by their local topics. What of them the configuration
	// does not subscribe to is asked of the broker, as it is, for as long as there is
	// the subscription. For one that has been there these are its filters from now
	// on, but for what was on its way already; empty: those that it had.
	Filters []string

	// QoS is the most to ask the broker for, and to get messages at. Default: 1, and
	// 1 at least with a Name.
	QoS config.QoS

	// QoSOf is QoS for those filters that have another one; it is not modified.
	QoSOf map[string]config.QoS

	// Window is how many messages may be delivered and not acknowledged at a time, or
	// without a Name how many may wait for Next; those beyond that are missed. 64, or
	// 1,024 without a Name, if 0; 10,000 at most. In both cases the messages that wait
	// here have 8 MiB at most, but one is always taken.
	Window int

	// AckWait is how long a message that was delivered may go without an answer: then
	// it is delivered again. 30 s if 0; never if negative. It counts with a Name only.
	AckWait time.Duration

	// Expiry ends the subscription when nobody has had it for so long; session_expiry
	// if 0, and at most.
	Expiry time.Duration
}

const (
	defaultAckWait    = 30 * time.Second
	defaultWindow     = 64
	defaultLiveWindow = 1024
	maxWindow         = 10_000
	maxConsumerName   = 128
)

// subscribeBytes is how many bytes of messages a subscription is given ahead, at
// most, but one message is always given.
const subscribeBytes = 8 << 20

var errNotStored = errors.New("a named subscription needs persist.incoming: true on its connection")

func (o *SubscribeOptions) setDefaults() error {
	if o.Window == 0 {
		o.Window = defaultWindow
		if o.Name == "" {
			o.Window = defaultLiveWindow
		}
	}
	if o.AckWait == 0 {
		o.AckWait = defaultAckWait
	}
	if o.QoS == config.QoSDefault || o.Name != "" && o.QoS == config.QoS0 {
		o.QoS = config.QoS1
	}
	for _, q := range o.QoSOf {
		if q > config.QoS2 {
			return fmt.Errorf("QoS %v is none to subscribe with", q)
		}
	}
	switch {
	case o.QoS > config.QoS2:
		return fmt.Errorf("QoS %v is none to subscribe with", o.QoS)
	case o.Window < 0 || o.Window > maxWindow:
		return fmt.Errorf("a window of %d is not between 1 and %d", o.Window, maxWindow)
	case len(o.Filters) == 0 && o.Name == "":
		return errors.New("no filters")
	case len(o.Name) > maxConsumerName, !utf8.ValidString(o.Name), strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' }):
		return fmt.Errorf("%q is not a name for a subscription: use up to %d bytes without slashes and control characters", o.Name, maxConsumerName)
	}
	return nil
}

// Subscription gets messages of a broker. Its methods may be called concurrently.
type Subscription struct {
	conn    *Connection
	options SubscribeOptions
	wanted  atomic.Pointer[[]actors.Subscription] // the filters that are asked for; never modified
	fitting sync.Mutex                            // one fits the consumer to them at a time
	inbox   inbox
	context context.Context // ends with it
	cancel  context.CancelFunc
}

// Subscribe brings messages of the broker of c to the program, in their order, with
// their local topics, whether the broker can be reached now or not. With a Name it
// returns when it is committed that there is such a subscription: what is stored from
// then on is its own. If the program, or another one, had it before and did not
// Close it, that one ends.
//
// Errors wrap types.ErrUnknownConnection, ErrClosed, ErrInvalidTopic for a filter, or
// ErrQueueFull if there are more named subscriptions than can be kept, or are a
// *types.StoreError.
func (c *Connection) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	if c == nil {
		return nil, types.ErrUnknownConnection
	}
	if err := o.setDefaults(); err != nil {
		return nil, fmt.Errorf("subscribe on %s: %w", c.name, err)
	}
	if err := c.checkFilters(o.Filters); err != nil {
		return nil, fmt.Errorf("subscribe on %s: %w", c.name, err)
	}
	s := &Subscription{conn: c, options: o}
	s.want(o.list(o.Filters))
	s.context, s.cancel = context.WithCancel(context.Background())
	s.inbox.init(o)
	if o.Name == "" {
		if err := c.goLive(s); err != nil {
			return nil, fmt.Errorf("subscribe on %s: %w", c.name, err)
		}
		return s, nil
	}
	if c.incoming.consumers == nil {
		return nil, fmt.Errorf("subscribe on %s: %w", c.name, errNotStored)
	}
	if err := s.join(ctx, false); err != nil {
		s.Close()
		return nil, fmt.Errorf("subscribe on %s: %w", c.name, err)
	}
	return s, nil
}

// Next waits for a message and returns it. One that has to be delivered again comes
// before others. The error is that of ctx, or wraps types.ErrClosed when the
// subscription, or what it belongs to, has ended.
func (s *Subscription) Next(ctx context.Context) (*Delivery, error) {
	d, err := s.inbox.next(ctx)
	if err != nil {
		return nil, fmt.Errorf("next message of %s: %w", s.conn.name, err)
	}
	d.subscription = s
	return d, nil
}

// All returns what Next does, until ctx or the subscription ends. The error that it
// ends with is not told: ask Next.
func (s *Subscription) All(ctx context.Context) iter.Seq[*Delivery] {
	return func(yield func(*Delivery) bool) {
		for {
			d, err := s.Next(ctx)
			if err != nil || !yield(d) {
				return
			}
		}
	}
}

// Missed is how many messages were not delivered because too many were waiting. Of a
// named subscription none are.
func (s *Subscription) Missed() uint64 { return s.inbox.missedSoFar() }

// Close leaves the subscription. A named one stays, and gets what comes until somebody
// subscribes with its name; what was not acknowledged is delivered again then. Answers
// to deliveries fail from now on: wait for handlers that are at work first.
func (s *Subscription) Close() {
	s.cancel()
	token, last, joined := s.inbox.end(types.ErrClosed)
	if s.options.Name == "" {
		s.conn.endLive(s)
	} else if joined {
		s.conn.incoming.consumers.Tell(actors.Leave{Consumer: token, Last: last})
	}
}

// Unsubscribe ends the subscription for good, as RemoveConsumer does, and gives back
// at the broker what nobody else wants. It returns when that is committed.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	s.Close()
	if s.options.Name == "" {
		return nil
	}
	_, err := s.conn.RemoveConsumer(ctx, s.options.Name)
	return err
}

// join makes s the one who has the consumer; back says that it was before.
func (s *Subscription) join(ctx context.Context, back bool) error {
	consumers := s.conn.incoming.consumers
	r := s.inbox.renew(s)
	late := lateJoin{consumers: consumers, remove: !back}
	joined, err := actors.Ask(ctx, consumers.Ref, func(reply actors.Reply[actors.Joined]) actors.ConsumersMessage {
		return actors.Join{
			Name: namedConsumer + s.options.Name, Expiry: s.conn.rt.SessionExpiry(s.options.Expiry),
			Receiver: r, Messages: s.options.Window, Bytes: subscribeBytes, Back: back,
			Reply: func(j actors.Joined, err error) { late.answered(j, err); reply(j, err) },
		}
	})
	if err != nil {
		late.giveUp()
		return err
	}
	fitted, err := s.fit(ctx, joined)
	if err != nil {
		late.giveUp()
		return err
	}
	if !r.open(joined.Token) { // closed meanwhile
		late.giveUp()
		return nil
	}
	return s.refit(ctx, joined.Token, fitted)
}

// fit gives the consumer the filters that were asked for, and returns them.
func (s *Subscription) fit(ctx context.Context, j actors.Joined) (*[]actors.Subscription, error) {
	s.fitting.Lock()
	defer s.fitting.Unlock()
	if len(*s.wanted.Load()) == 0 {
		if len(j.Subscriptions) == 0 {
			return nil, errors.New("no filters, and there is no subscription of that name that has some")
		}
		s.want(j.Subscriptions) // should the store be replaced
		return s.wanted.Load(), nil
	}
	fitted := s.wanted.Load()
	return fitted, s.change(ctx, j.Token, j.Subscriptions, *fitted)
}

// refit is for a consumer that was fitted before others were asked for.
func (s *Subscription) refit(ctx context.Context, token actors.Token, fitted *[]actors.Subscription) error {
	s.fitting.Lock()
	defer s.fitting.Unlock()
	if now := s.wanted.Load(); now != fitted {
		return s.change(ctx, token, *fitted, *now)
	}
	return nil
}

// change makes the filters of the consumer, which are had, those that are wanted.
func (s *Subscription) change(ctx context.Context, token actors.Token, had, wanted []actors.Subscription) error {
	consumers := s.conn.incoming.consumers
	before := make(map[string]types.QoS)
	for _, has := range had {
		before[has.Filter] = has.QoS
	}
	var add []actors.Subscription
	var drop []string
	for _, w := range wanted {
		if qos, ok := before[w.Filter]; !ok || qos != w.QoS {
			add = append(add, w)
		}
		delete(before, w.Filter)
	}
	for _, has := range had {
		if _, left := before[has.Filter]; left {
			drop = append(drop, has.Filter)
		}
	}
	if len(add) > 0 {
		_, err := actors.Ask(ctx, consumers.Ref, func(r actors.Reply[[]bool]) actors.ConsumersMessage {
			return actors.Subscribe{Consumer: token, List: add, Reply: r}
		})
		if err != nil {
			return err
		}
	}
	if len(drop) == 0 {
		return nil
	}
	_, err := actors.Ask(ctx, consumers.Ref, func(r actors.Reply[[]bool]) actors.ConsumersMessage {
		return actors.Unsubscribe{Consumer: token, Filters: drop, Reply: r}
	})
	return err
}

// rejoinPause is how long to wait before a consumer is joined again whose actor has
// failed.
const rejoinPause = time.Second

// rejoin joins again, until that succeeds or s is closed.
func (s *Subscription) rejoin() {
	for {
		err := s.join(s.context, true)
		if err == nil || s.context.Err() != nil {
			return
		}
		if errors.Is(err, types.ErrClosed) {
			s.inbox.end(err)
			return
		}
		pause := time.NewTimer(rejoinPause)
		select {
		case <-pause.C:
		case <-s.context.Done():
			pause.Stop()
			return
		}
	}
}
