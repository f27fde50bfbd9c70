package runtime

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Retained messages are kept in a queue of their own. Each is pending there until
// another one on its topic is committed, or one without payload, which is done
// with what it ends. The queue's numbers say which is the newer one.

// retained notes that a retained message, which is number n of what is retained, is
// committed. wanted says that it was stored for persistent sessions; if it was not,
// but is wanted by now, it is stored then: a client that subscribed meanwhile may
// have got the value before, and has to learn this one. Unless there is a newer one
// already, which may have been stored for that client: this must not come after it.
// A seq of 0 says that it was there before; once is how that is told, if it is.
func (rt *Runtime) retained(seq types.Seq, e persistence.Entry, once *types.Once, wanted bool, n uint64) {
	l := &rt.local
	if seq == 0 {
		l.retaining.ifLast(e.Message.Topic, n, func() {})
		return
	}
	rt.release(l.broker.Retain(seq, e.Message, e.Enqueued))
	if wanted || e.Message.QoS == 0 || !l.consumers.Wants(e.Message.Topic) {
		l.retaining.ifLast(e.Message.Topic, n, func() {})
		return
	}
	entries := []persistence.Entry{e}
	cost := actors.CostOf(entries)
	l.queue.Admission().Notify(cost, func(err error) {
		if err != nil {
			return
		}
		if !l.retaining.ifLast(e.Message.Topic, n, func() {
			m := actors.Enqueue{Entries: entries, Done: actors.CompletionFunc(func(types.Seq, error) {})}
			if once == nil || once.Rule == types.Rising { // others may have gone before it since
				l.queue.Tell(m)
			} else {
				l.queue.Tell(actors.EnqueueOnce{Enqueue: m, Once: []types.Once{*once}})
			}
		}) {
			l.queue.Admission().Release(cost)
		}
	})
}

// retaining knows which of the retained messages on their way is the last on its
// topic.
type retaining struct {
	mu   sync.Mutex
	n    uint64 // how many there were
	seed maphash.Seed
	last map[uint64]uint64 // by hash of the topic
}

// mostRetaining bounds what is remembered of messages that have not been committed,
// and perhaps never will be.
const mostRetaining = 10_000

// begin returns the number of a message on topic, which is the last one now. Whoever
// asks who wants it asks after that.
func (r *retaining) begin(topic string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.seed, r.last = maphash.MakeSeed(), make(map[uint64]uint64)
	}
	if len(r.last) >= mostRetaining {
		clear(r.last)
	}
	r.n++
	r.last[maphash.String(r.seed, topic)] = r.n
	return r.n
}

// ifLast calls do, which must not wait, if n is still the last on its topic, and says
// whether it was. None begins meanwhile. It ends n.
func (r *retaining) ifLast(topic string, n uint64, do func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := maphash.String(r.seed, topic)
	if r.last[key] != n {
		return false
	}
	delete(r.last, key)
	do()
	return true
}

// release settles retained messages that are not needed any more.
func (rt *Runtime) release(seqs []types.Seq) {
	if len(seqs) == 0 {
		return
	}
	var all persistence.Ranges
	for _, s := range seqs {
		all.Add(persistence.Range{First: s, Last: s})
	}
	done := make([]persistence.Done, len(all))
	for i, r := range all {
		done[i] = persistence.Done{Range: r, Reason: types.Sent}
	}
	rt.local.values.Tell(actors.Settle{Done: done})
}

// retainedStep is how much of the retained messages is read at once.
var retainedStep = persistence.Limit{Records: 1024, Bytes: 1 << 20}

// loadRetained hands all that is stored to the local broker. What it cannot read
// now it reads once the store is out of its trouble.
func (rt *Runtime) loadRetained(ctx context.Context) {
	after, err := rt.loadRetainedFrom(ctx, 0)
	if err == nil || ctx.Err() != nil {
		return
	}
	rt.o.Logger.Warn("retained messages cannot be read yet", "error", err)
	go func() {
		for err != nil {
			usable := func() bool { return rt.local.values.Trouble() == nil }
			if rt.await(context.Background(), usable) != nil {
				return // closed
			}
			after, err = rt.loadRetainedFrom(context.Background(), after)
		}
	}()
}

func (rt *Runtime) loadRetainedFrom(ctx context.Context, after types.Seq) (types.Seq, error) {
	for {
		f, err := actors.Ask(ctx, rt.local.values.Ref, func(r actors.Reply[actors.Fetched]) actors.QueueMessage {
			return actors.Fetch{After: after, Limit: retainedStep, Reply: r}
		})
		if err != nil {
			return after, err
		}
		for _, r := range f.Records {
			rt.release(rt.local.broker.Retain(r.Seq, r.Message, r.Enqueued))
		}
		if after = f.Through; after >= f.Last {
			return after, nil
		}
	}
}
