package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// A local client that publishes at QoS 2 in a session that is kept has its packet
// ids remembered in every queue that its messages went to, so that what it repeats
// after a crash is not stored twice (S2.1). That ends with PUBREL, and with the
// session.

// openPerClient is how many times receive_max exchanges of one client are
// remembered: those that have PUBREC, and not PUBREL, come on top of what
// receive_max bounds.
const openPerClient = 10

// maxOpen is how many that are; 0 if nobody says.
func (rt *Runtime) maxOpen() int { return openPerClient * rt.config.MQTT.ReceiveMax }

// Release ends exchanges of a local client, which has sent PUBREL for these packet
// ids. done is called once, from any goroutine, when that is committed wherever
// their messages are: known says which ids were open. After an error the client is
// to send PUBREL again.
func (rt *Runtime) Release(clientID string, ids []uint16, done func(known []bool, err error)) {
	source := actors.PublishedBy(clientID)
	key := actors.KeyOf(source)
	known := make([]bool, len(ids))
	closed := make([]types.Origin, len(ids))
	for i, id := range ids {
		closed[i] = types.Origin{Source: source, ID: uint64(id)}
	}
	rt.note(key, func(q *actors.Queue) actors.Note {
		for i, id := range ids {
			known[i] = known[i] || q.IsOpen(key, id)
		}
		return actors.Note{Closed: closed}
	}, func(err error) { done(known, err) })
}

// EndExchanges ends all exchanges of a local client. What is published after it is
// a new message, whatever it looks like.
func (rt *Runtime) EndExchanges(clientID string) { rt.endExchanges(clientID, func(error) {}) }

func (rt *Runtime) endExchanges(clientID string, done func(error)) {
	key := actors.KeyOf(actors.PublishedBy(clientID))
	rt.note(key, func(*actors.Queue) actors.Note { return actors.Note{Ended: []actors.SourceKey{key}} }, done)
}

// awaitEndOfExchanges returns when all exchanges of a local client are over, and
// that is committed.
func (rt *Runtime) awaitEndOfExchanges(ctx context.Context, clientID string) error {
	ended := make(chan error, 1)
	rt.endExchanges(clientID, func(err error) { ended <- err })
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("forget what %s has published before: %w", clientID, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until it is forgotten what %s has published before: %w", clientID, ctx.Err())
	}
}

// note tells every queue that may know a source what say returns for it; done is
// called when all of them have recorded that.
func (rt *Runtime) note(source actors.SourceKey, say func(*actors.Queue) actors.Note, done func(error)) {
	l := rt.enter()
	defer l.leave()
	var knowing []*actors.Queue
	for _, q := range rt.publishedTo(l) {
		if q.Knows(source) {
			knowing = append(knowing, q)
		}
	}
	if len(knowing) == 0 {
		done(nil)
		return
	}
	answers := &answers{left: len(knowing), done: done}
	for _, q := range knowing {
		n := say(q)
		n.Reply = answers.answer
		q.Tell(n)
	}
}

// publishedTo lists the queues that local clients may publish to.
func (rt *Runtime) publishedTo(l *lineup) []*actors.Queue {
	list := rt.local.queues()
	for _, c := range l.members {
		list = append(list, c.queue)
	}
	return list
}

// answers waits for those of several queues.
type answers struct {
	done func(error)

	mu   sync.Mutex
	left int
	errs []error
}

func (a *answers) answer(_ actors.Noted, err error) {
	a.mu.Lock()
	if err != nil {
		a.errs = append(a.errs, err)
	}
	a.left--
	last, errs := a.left == 0, a.errs
	a.mu.Unlock()
	if last {
		a.done(errors.Join(errs...))
	}
}

const (
	// sweepEvery is how often those are looked for who will not come back, of whom
	// queues remember something.
	sweepEvery = time.Hour

	// sweepStep is how many sources are ended in one commit, at most.
	sweepStep = 50
)

// sweepSources ends, once now and then, the exchanges of clients whose session
// has expired, and says which incoming queues are there, until the runtime ends.
func (rt *Runtime) sweepSources() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-rt.ending
		cancel()
	}()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		rt.attend()
		if err := rt.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			rt.o.Logger.Warn("what sessions that have expired left behind is still there", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweepOnce ends the exchanges of clients that have no session any more.
func (rt *Runtime) sweepOnce(ctx context.Context) error {
	if rt.local.broker == nil {
		return nil
	}
	l := rt.enter()
	sources := make(map[*actors.Queue][]actors.SourceKey)
	for _, q := range rt.publishedTo(l) { // before the sessions: each of these has had one
		if list := q.OpenSources(); len(list) > 0 {
			sources[q] = list
		}
	}
	l.leave()
	if len(sources) == 0 {
		return nil
	}
	there, err := rt.sessionKeys(ctx)
	if err != nil {
		return err
	}
	for q, list := range sources {
		for len(list) > 0 {
			var n actors.Note
			for len(list) > 0 && len(n.Ended) < sweepStep {
				if !there[list[0]] {
					n.Ended = append(n.Ended, list[0])
				}
				list = list[1:]
			}
			if len(n.Ended) > 0 {
				q.Tell(n) // one that was stopped meanwhile does not need it
			}
		}
	}
	return nil
}

// sessionKeys returns the sources of all clients whose sessions are kept.
func (rt *Runtime) sessionKeys(ctx context.Context) (map[actors.SourceKey]bool, error) {
	marks, err := actors.Ask(ctx, rt.local.queue.Ref, func(r actors.Reply[actors.Marks]) actors.QueueMessage {
		return actors.ReadMarks{Prefix: actors.ConsumerMark, Reply: r}
	})
	if err != nil {
		return nil, fmt.Errorf("read which sessions there are: %w", err)
	}
	there := make(map[actors.SourceKey]bool, len(marks.List))
	for _, m := range marks.List {
		there[actors.KeyOf(actors.PublishedBy(strings.TrimPrefix(m.Key, actors.ConsumerMark)))] = true
	}
	return there, nil
}
