package runtime

import (
	"context"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Retained messages are kept in a queue of their own. Each is pending there until
// another one on its topic is committed, or one without payload, which is done
// with what it ends. The queue's numbers say which is the newer one.

// retained notes that a retained message is committed. wanted says that it was
// stored for persistent sessions; if it was not, but is wanted by now, it is
// stored then: a client that subscribed meanwhile may have got the value before,
// and has to learn this one.
func (rt *Runtime) retained(seq types.Seq, e persistence.Entry, wanted bool) {
	l := &rt.local
	rt.release(l.broker.Retain(seq, e.Message, e.Enqueued))
	if wanted || e.Message.QoS == 0 || !l.consumers.Wants(e.Message.Topic) {
		return
	}
	entries := []persistence.Entry{e}
	l.queue.Admission().Notify(actors.CostOf(entries), func(err error) {
		if err == nil {
			l.queue.Tell(actors.Enqueue{Entries: entries, Done: actors.CompletionFunc(func(types.Seq, error) {})})
		}
	})
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
