package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

const (
	defaultWindow = 64
	maxWindow     = 10_000

	// memoryExpiry is how long a consumer that nobody has is kept where what it is to get
	// is in memory.
	memoryExpiry = time.Minute

	// aheadWindow is how many messages are read ahead of the client's window, at least.
	aheadWindow = 256
)

// consumer is one that a client has.
type consumer struct {
	client *client
	key    consumerKey
	sub    *runtime.Subscription
	stored bool // and not only in memory
	cancel context.CancelFunc
	over   chan struct{} // closed when nothing of it is at work any more

	mu     sync.Mutex
	window int
	open   []given // that are not acknowledged, in order
	last   uint64  // that was given
	dead   uint64  // that could not be given
	room   chan struct{}
	asked  map[string]config.QoS // by filter; never modified
}

// given is a message that was given to the client.
type given struct {
	seq      uint64
	delivery *runtime.Delivery
}

// topicsOf reads the payload of SUB.
func topicsOf(f Frame) (filters []string, qosOf map[string]config.QoS, err error) {
	var list Topics
	if err := f.value(&list); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if len(list.Topics) == 0 {
		return nil, nil, fmt.Errorf("%w: SUB names no topics", errRequest)
	}
	qosOf = make(map[string]config.QoS)
	for _, t := range list.Topics {
		if t.QoS < 0 || t.QoS > 2 {
			return nil, nil, fmt.Errorf("%w: QoS %d (0, 1 or 2 is allowed)", errRequest, t.QoS)
		}
		filters = append(filters, t.Topic)
		qosOf[t.Topic] = config.QoS0 + config.QoS(t.QoS)
	}
	return filters, qosOf, nil
}

// subscribe makes a consumer, or changes one.
func (l *lane) subscribe(ctx context.Context, i item) (any, error) {
	c := l.client
	filters, qosOf, err := topicsOf(i.frame)
	if err != nil {
		return nil, err
	}
	window := defaultWindow
	if i.target.Window != nil {
		window = *i.target.Window
	}
	if i.target.Consumer == "" || window < 1 || window > maxWindow {
		return nil, fmt.Errorf("%w: SUB wants a consumer (c), and a window from 1 to %d", errRequest, maxWindow)
	}
	if k := c.consumer(i.target); k != nil && !k.ended() {
		k.setWindow(window)
		return k.what(), k.add(ctx, qosOf)
	}
	k := &consumer{client: c, key: consumerKey{l.id, i.target.Consumer}, window: window, over: make(chan struct{}), room: make(chan struct{})}
	conn := c.house.engine.Connection(l.id)
	k.stored = c.house.stores(l.id)
	o := runtime.SubscribeOptions{
		Name: i.target.Consumer, Filters: filters, QoSOf: qosOf, AckWait: -1, Window: min(max(2*window, aheadWindow), maxWindow),
	}
	if !k.stored {
		o.Expiry = memoryExpiry
	}
	k.asked = qosOf
	if k.sub, err = conn.Subscribe(ctx, o); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	c.mu.Lock()
	c.consumers[k.key] = k
	c.mu.Unlock()
	ctx, k.cancel = context.WithCancel(ctx)
	c.result(i.frame, k.what(), nil) // before its first message
	go k.run(ctx)
	return nil, errAnswered
}

// errAnswered says that a request was answered already.
var errAnswered = errors.New("answered")

func (k *consumer) what() Consuming { return Consuming{Stored: k.stored, Store: k.sub.Store()} }

// unsubscribe takes topics from a consumer, or ends it for good.
func (l *lane) unsubscribe(ctx context.Context, i item) error {
	var list Untopics
	if err := i.frame.value(&list); err != nil {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	k := l.client.consumer(i.target)
	if len(i.frame.Payload) == 0 {
		if k != nil {
			k.close()
		}
		_, err := l.client.house.engine.Connection(l.id).RemoveConsumer(ctx, i.target.Consumer)
		return err
	}
	if k == nil {
		return fmt.Errorf("%w: there is no consumer %q", errRequest, i.target.Consumer)
	}
	left := k.topics()
	for _, f := range list.Topics {
		delete(left, f)
	}
	return k.ask(ctx, left)
}

// topics are those that the client has asked for, for it to be modified.
func (k *consumer) topics() map[string]config.QoS {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.asked)
}

// ask makes them those that k has.
func (k *consumer) ask(ctx context.Context, topics map[string]config.QoS) error {
	if err := k.sub.Refilter(ctx, sortedKeys(topics), topics); err != nil {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	k.mu.Lock()
	k.asked = topics
	k.mu.Unlock()
	return nil
}

// add adds topics to those of k, in place of their equals.
func (k *consumer) add(ctx context.Context, qosOf map[string]config.QoS) error {
	all := k.topics()
	maps.Copy(all, qosOf)
	return k.ask(ctx, all)
}

// atMost is the QoS that a message is given with: what is kept comes with 1 at least,
// also where 0 is asked for.
func (k *consumer) atMost(m types.Message) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	most, known := types.QoS(0), false
	for f, qos := range k.asked {
		if types.Matches(f, m.Topic) {
			most, known = max(most, qos.Of(0)), true
		}
	}
	if !known { // by a topic that it had, or a shared one
		return int(m.QoS)
	}
	return int(min(m.QoS, most))
}

// run gives the client what comes, as much as its window has room for.
func (k *consumer) run(ctx context.Context) {
	defer close(k.over)
	for {
		if err := k.awaitRoom(ctx); err != nil {
			return
		}
		d, err := k.sub.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				k.client.server.o.Logger.Warn("a consumer has ended", "conn", k.key.broker, "consumer", k.key.name, "error", err)
			}
			return
		}
		if k.client.out.await(ctx, messageBytes) != nil {
			return
		}
		k.give(d)
	}
}

// give sends a message to the client.
func (k *consumer) give(d *runtime.Delivery) {
	k.mu.Lock()
	k.last = uint64(d.Seq)
	seq := k.last
	k.open = append(k.open, given{seq, d})
	k.mu.Unlock()
	f := Frame{Type: MsgType, Seq: seq, Payload: d.Message.Payload}
	if d.Redelivered {
		f.Flags |= Redelivered
	}
	h := MessageHeader{Broker: k.key.broker, Consumer: k.key.name, Topic: d.Message.Topic, QoS: k.atMost(d.Message), Retain: d.Message.Retain}
	h.Properties, _ = PropertiesOf(d.Message.Properties, d.Message.Expiry) // what cannot be read is left out
	if f.Header = encode(h); len(f.Header) > MaxHeader {
		h.Properties = nil
		f.Header = encode(h)
	}
	if len(f.Header) > MaxHeader { // a topic of 64 KiB, escaped
		k.refuse(seq, d)
		return
	}
	k.client.out.push(f)
}

// refuse is for a message that has no room in a frame.
func (k *consumer) refuse(seq uint64, d *runtime.Delivery) {
	k.client.server.o.Logger.Warn("a message cannot be given to a consumer: its topic is too long", "conn", k.key.broker, "consumer", k.key.name, "seq", seq)
	k.mu.Lock()
	k.open = k.open[:len(k.open)-1]
	k.dead++
	k.mu.Unlock()
	_ = d.Term(k.client.context, "its topic is too long for the sidecar protocol") // else it comes again
}

// ack says that the client is done with all up to seq.
func (k *consumer) ack(seq uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if seq > k.last {
		return fmt.Errorf("%w: MSGACK %d of consumer %q, which was given %d", errFrame, seq, k.key.name, k.last)
	}
	n := 0
	for n < len(k.open) && k.open[n].seq <= seq {
		n++
	}
	list := make([]*runtime.Delivery, n)
	for i := range n {
		list[i] = k.open[i].delivery
		k.open[i] = given{}
	}
	k.open = k.open[n:]
	_ = k.sub.Ack(list) // if it has ended they come again
	k.tell()
	return nil
}

// tell wakes who waits for room; the lock is held.
func (k *consumer) tell() {
	close(k.room)
	k.room = make(chan struct{})
}

func (k *consumer) setWindow(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.window = min(max(n, 0), maxWindow)
	k.tell()
}

func (k *consumer) awaitRoom(ctx context.Context) error {
	for {
		k.mu.Lock()
		fits, room := len(k.open) < k.window, k.room
		k.mu.Unlock()
		if fits {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended says whether k gets nothing any more.
func (k *consumer) ended() bool {
	select {
	case <-k.over:
		return true
	default:
		return false
	}
}

// close leaves the consumer: what is stored for it stays.
func (k *consumer) close() {
	k.client.mu.Lock()
	if k.client.consumers[k.key] == k {
		delete(k.client.consumers, k.key)
	}
	k.client.mu.Unlock()
	k.cancel()
	<-k.over
	k.sub.Close()
}

// closeConsumers leaves all of the broker.
func (l *lane) closeConsumers() {
	l.client.mu.Lock()
	var list []*consumer
	for key, k := range l.client.consumers {
		if key.broker == l.id {
			list = append(list, k)
		}
	}
	l.client.mu.Unlock()
	for _, k := range list {
		k.close()
	}
}

// missed is how many messages consumers of a broker did not get.
func (c *client) missed(broker string) uint64 {
	return c.missedBy(func(key consumerKey) bool { return key.broker == broker })
}

func (c *client) missedInAll() uint64 { return c.missedBy(func(consumerKey) bool { return true }) }

func (c *client) missedBy(meant func(consumerKey) bool) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n uint64
	for key, k := range c.consumers {
		if meant(key) {
			k.mu.Lock()
			n += k.dead
			k.mu.Unlock()
		}
	}
	return n
}
