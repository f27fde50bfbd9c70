// Package loopback is a broker in memory, for tests and examples. It keeps
// sessions, retained messages and wills as MQTT 3.1.1 says, and does on request
// what real brokers and networks do to their clients: see the methods Down,
// CutAfter, Freeze, Withhold and their neighbours.
//
// It never sleeps, and what it decides by chance it draws from a seed: the same
// calls in the same order have the same effects.
package loopback

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// Broker is a broker in memory. All methods may be called concurrently.
type Broker struct {
	mu        sync.Mutex
	chance    *rand.Rand
	sessions  map[string]*session
	retained  map[string]types.Message
	published []types.Message
	nameless  int           // clients without an id so far
	changed   chan struct{} // closed, and replaced, at each change that somebody may wait for
	faults    faults
}

var _ broker.Dialer = (*Broker)(nil)

// New makes a broker that has no faults until it is told to.
func New(seed uint64) *Broker {
	return &Broker{
		chance:   rand.New(rand.NewPCG(seed, seed)),
		sessions: make(map[string]*session),
		retained: make(map[string]types.Message),
		changed:  make(chan struct{}),
	}
}

// Dial implements broker.Dialer.
func (b *Broker) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	if err := check(o); err != nil {
		return nil, broker.Session{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return nil, broker.Session{}, context.Cause(ctx)
		}
		if !b.faults.frozen {
			break
		}
		b.wait(ctx)
	}
	if err := b.refusal(o); err != nil {
		return nil, broker.Session{}, err
	}
	s, present := b.sessionFor(o)
	l := &link{broker: b, session: s, options: o, events: events, untilCut: b.faults.cutAfter}
	s.link = l
	l.resume()
	return l, broker.Session{Present: present, MaxQoS: 2}, nil
}

func check(o broker.ConnectOptions) error {
	if o.Protocol != broker.MQTT31 && o.Protocol != broker.MQTT311 {
		return errors.New("connect: the loopback broker speaks MQTT 3.1 and 3.1.1")
	}
	if o.Will != nil {
		return o.Will.Check(types.MaxTopic)
	}
	return nil
}

// refusal is why the broker does not take this client now, if it does not.
func (b *Broker) refusal(o broker.ConnectOptions) error {
	f := &b.faults
	password, known := f.users[o.Username]
	switch {
	case f.down:
		return &broker.HintedError{Err: errors.New("the loopback broker is down"), Advice: "start it with Up"}
	case f.refuse != 0:
		return &broker.RefusedError{Code: f.refuse}
	case f.users != nil && (!known || password != string(o.Password)):
		return &broker.RefusedError{Code: broker.BadCredentials}
	case o.ClientID == "" && !o.CleanSession:
		return &broker.RefusedError{Code: broker.BadClientID}
	}
	return nil
}

// Publish is a message from a client that nobody sees. It counts as published.
func (b *Broker) Publish(m types.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accept(m)
}

// Published is all that was published, in the order of arrival; a message of
// QoS 2 counts when its PUBLISH comes, and once.
func (b *Broker) Published() []types.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.published)
}

// WaitFor returns when n messages were published, or the context ends.
func (b *Broker) WaitFor(ctx context.Context, n int) error {
	return b.until(ctx, func() bool { return len(b.published) >= n })
}

// WaitForClient returns when the client is connected, or the context ends.
func (b *Broker) WaitForClient(ctx context.Context, id string) error {
	return b.until(ctx, func() bool { s := b.sessions[id]; return s != nil && s.link != nil })
}

// WaitForFilters returns when the client has subscribed to n filters, or the
// context ends.
func (b *Broker) WaitForFilters(ctx context.Context, id string, n int) error {
	return b.until(ctx, func() bool { s := b.sessions[id]; return s != nil && len(s.filters) >= n })
}

// WaitWithout returns when the client has not subscribed to filter, or not any more,
// or the context ends.
func (b *Broker) WaitWithout(ctx context.Context, id, filter string) error {
	return b.until(ctx, func() bool {
		s := b.sessions[id]
		if s == nil {
			return true
		}
		_, has := s.filters[filter]
		return !has
	})
}

func (b *Broker) until(ctx context.Context, true func() bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !true() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.wait(ctx)
	}
	return nil
}

// wait lets others go on until something changes or the context ends.
func (b *Broker) wait(ctx context.Context) {
	changed := b.changed
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// change wakes those who wait.
func (b *Broker) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// accept takes a message and passes it on.
func (b *Broker) accept(m types.Message) {
	m.Payload = slices.Clone(m.Payload) // its publisher may use it again
	b.published = append(b.published, m)
	if m.Retain {
		if len(m.Payload) == 0 {
			delete(b.retained, m.Topic)
		} else {
			b.retained[m.Topic] = m
		}
	}
	live := m
	live.Retain = false // that flag is for those who subscribe later [MQTT-3.3.1-9]
	for _, id := range slices.Sorted(maps.Keys(b.sessions)) {
		b.sessions[id].offer(live)
	}
	b.change()
}

// later runs f in a goroutine of its own, delayed as the faults say.
func (b *Broker) later(f func()) {
	if b.faults.delay > 0 {
		time.AfterFunc(b.faults.delay, f)
		return
	}
	go f()
}
