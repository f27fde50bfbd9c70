package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Broker is one of those that a connection may link to.
type Broker struct {
	// Name is its address for people to read, without credentials. Sessions are
	// told apart by it [S3.4]; where it is "", they are used as they are found.
	Name   string
	Dialer broker.Dialer
}

// attempt goes through the brokers once, beside the actor, until one takes us.
type attempt struct {
	number uint64
	self   Ref[ConnectionMessage]
	config *ConnectionConfig
	first  int  // index of the broker to begin with
	renew  bool // the session begins anew
}

// result is what came of an attempt.
type result struct {
	link     broker.Link // nil: nobody took us
	session  broker.Session
	broker   int                  // index of the one that took us
	client   string               // the client id
	marked   bool                 // what is granted is stored
	granted  map[string]types.QoS // that is so: what is granted
	before   windows              // what an earlier process may have had in flight
	reserved persistence.Range    // numbers that an earlier process may have had in flight, see reserving
	missing  missing              // what damage has taken of that
	renewed  bool                 // the session has begun anew
	failed   error                // why the first broker did not, if another one did
	err      error
}

// run tries one broker after the other.
func (a *attempt) run(ctx context.Context) result {
	var failures roundError
	var first error
	for i := range a.config.Brokers {
		at := (a.first + i) % len(a.config.Brokers)
		if i > 0 {
			a.self.Tell(trying{a.number, at})
		}
		r, local := a.try(ctx, at)
		switch {
		case r.err == nil:
			r.failed = first
			return r
		case local || ctx.Err() != nil || len(a.config.Brokers) == 1:
			return r
		}
		failures = append(failures, fmt.Errorf("%s: %w", a.config.Brokers[at].Name, r.err))
		if at == 0 {
			first = r.err
		}
	}
	return result{err: failures}
}

// try asks one broker. local says that an error is one of ours, so that there is
// no use in asking another one.
func (a *attempt) try(ctx context.Context, at int) (r result, local bool) {
	ctx, cancel := context.WithTimeout(ctx, a.config.DialTimeout)
	defer cancel()
	r.broker = at
	b := a.config.Brokers[at]
	o, err := a.config.Options(ctx)
	if err != nil {
		r.err = err
		return r, true
	}
	r.client = o.ClientID
	if b.Name != "" && !o.CleanSession {
		if local, r.err = a.ready(ctx, b, o, &r); r.err != nil {
			return r, local
		}
	}
	r.link, r.session, r.err = b.Dialer.Dial(ctx, o, func(e broker.Event) { a.self.Tell(linkEvent{a.number, e}) })
	return r, false
}

// ready sees to it that the session which the broker may have kept for us is the
// one that the queue knows: else it is ended by a clean CONNECT, and the mark
// says so before the next one [S3.4].
func (a *attempt) ready(ctx context.Context, b Broker, o broker.ConnectOptions, r *result) (local bool, err error) {
	marks, err := Ask(ctx, a.config.Session.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{SessionMark, r} })
	if err != nil {
		return true, fmt.Errorf("read what is stored of the session: %w", err)
	}
	r.marked = true
	var cluster []Broker
	if a.config.SharedSession {
		cluster = a.config.Brokers
	}
	wanted := sessionMark{b.Name, o.ClientID, marks.Store}
	why := sessionOf(marks).differs(wanted, cluster)
	if why == "" && a.renew {
		why = "the broker ends each link over what the session has under way"
	}
	if why == "" {
		r.granted = grantedBy(marks.List)
		r.before, r.reserved = windowsOf(marks.List), reservedBy(marks.List)
		if a.config.Session == a.config.Queue {
			r.missing = a.findMissing(ctx, marks.List, r.before)
		}
		if larger := a.config.windows().marks(r.before); len(larger) > 0 {
			return true, a.store(ctx, false, larger...)
		}
		return false, nil
	}
	if err := a.store(ctx, false); err != nil { // a power cut must not bring back a mark of what is ended now
		return true, err
	}
	if err := endSession(ctx, b.Dialer, o); err != nil {
		return false, err
	}
	r.renewed = true
	a.config.Logger.Info("the session begins anew: a clean one was asked for first", "broker", b.Name, "because", why)
	r.granted = make(map[string]types.QoS)
	fresh := append(wanted.marks(marks.List), a.config.windows().marks(windows{})...)
	if n := a.config.Queue.State().Counters.Left[types.Quarantined]; n > 0 && a.config.Session == a.config.Queue {
		fresh = append(fresh, quarantinedMark(n))
	}
	return true, a.store(ctx, !a.config.AssumeDelivered, fresh...)
}

// windows is what c lets be in flight.
func (c *ConnectionConfig) windows() windows {
	w := windows{all: c.Window}
	if c.MaxQoS == 2 {
		w.exact = min(c.QoS2Window, c.Window)
	}
	return w
}

// store stores what belongs to the mark of the session; withdrawn says that what
// was released to an earlier one is so no longer.
func (a *attempt) store(ctx context.Context, withdrawn bool, marks ...persistence.Mark) error {
	_, err := Ask(ctx, a.config.Session.Ref, func(r Reply[Noted]) QueueMessage {
		return Note{Marks: marks, Withdrawn: withdrawn, Sync: true, Reply: r}
	})
	if err != nil {
		return fmt.Errorf("store which session it is: %w", err)
	}
	return nil
}

// endSession lets the broker forget what it has kept for us, by a CONNECT that
// asks for a clean session [MQTT-3.1.2-6]. It returns when that link is gone.
func endSession(ctx context.Context, d broker.Dialer, o broker.ConnectOptions) error {
	o.CleanSession, o.Will = true, nil
	gone := make(chan struct{})
	link, _, err := d.Dial(ctx, o, func(e broker.Event) {
		if _, down := e.(broker.Down); down {
			close(gone)
		}
	})
	if err != nil {
		return err
	}
	link.Close(true)
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		link.Close(false)
		return fmt.Errorf("wait for the link of a clean session to end: %w", context.Cause(ctx))
	}
}

// roundError says why none of several brokers took us.
type roundError []error

func (e roundError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets the causes be found.
func (e roundError) Unwrap() []error { return e }

// look says whether the broker can be reached: with a session of its own, which
// is to be a clean one when we come, by a CONNECT; within a cluster that would
// end the link that there is, and a network connection has to do.
func (a *attempt) look(ctx context.Context, b Broker) error {
	ctx, cancel := context.WithTimeout(ctx, a.config.DialTimeout)
	defer cancel()
	if a.config.SharedSession {
		p, ok := b.Dialer.(broker.Prober)
		if !ok {
			return errors.ErrUnsupported
		}
		return p.Probe(ctx)
	}
	o, err := a.config.Options(ctx)
	if err != nil {
		return err
	}
	return endSession(ctx, b.Dialer, o)
}
