package runtime

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Export reads messages of the named connection, in order, and calls each with them,
// which must not modify them: those that were stored before the call and are still there.
// LocalName stands for what is stored for local clients. It ends with the first error of
// each. Other errors wrap types.ErrUnknownConnection, ErrUnknownQueue, ErrInvalidTopic or
// ErrClosed, or are a *types.StoreError.
func (rt *Runtime) Export(ctx context.Context, name string, e types.Extract, each func(*types.Stored) error) error {
	if e.Filter != "" {
		if err := types.CheckFilter(e.Filter); err != nil {
			return err
		}
	}
	q, of, err := rt.locate(name, e.Queue)
	if err != nil {
		return err
	}
	end := q.State().Next
	for after := e.After; ; {
		list, err := readStored(ctx, q, of, after, exportPage)
		if err != nil {
			return fmt.Errorf("export %s: %w", name, err)
		}
		for i := range list {
			if after = list[i].Seq; after >= end {
				return nil
			}
			if !e.Selects(&list[i]) {
				continue
			}
			if err := each(&list[i]); err != nil {
				return err
			}
		}
		if len(list) == 0 {
			return nil
		}
	}
}

// exportPage is how many messages Export has in memory at once, see pageBytes.
const exportPage = 1000

// Import stores messages that come from elsewhere behind all others of the named
// connection: in its queue types.Outgoing, also "", where they have their topics at the
// broker, or types.Incoming. See actors.Queue.Import, which is told to wait for room.
// Other errors wrap types.ErrUnknownConnection or ErrUnknownQueue.
func (rt *Runtime) Import(ctx context.Context, name string, queue types.QueueName, list []types.Stored, again bool) (stored int, err error) {
	if name == LocalName {
		return 0, fmt.Errorf("%w: nothing can be imported for local clients: publish it", types.ErrUnknownQueue)
	}
	q, of, err := rt.locate(name, queue)
	if err != nil {
		return 0, err
	}
	if of != pending {
		return 0, fmt.Errorf("%w: messages are imported into outgoing or incoming, where they are pending", types.ErrUnknownQueue)
	}
	stored, err = q.Import(ctx, list, actors.Import{Again: again, Wait: true})
	if err != nil {
		return stored, fmt.Errorf("import on %s: %w", name, err)
	}
	return stored, nil
}

// Messages is Connection.Messages of the named connection. LocalName stands for what
// is stored for local clients: types.Outgoing, types.DeadLetters and types.Retained.
func (rt *Runtime) Messages(ctx context.Context, name string, queue types.QueueName, after types.Seq, limit int) ([]types.Stored, error) {
	q, of, err := rt.locate(name, queue)
	if err != nil || limit <= 0 {
		return nil, err
	}
	list, err := readStored(ctx, q, of, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the messages of %s: %w", name, err)
	}
	return list, nil
}

// locate returns the queue that is meant, and which of its messages.
func (rt *Runtime) locate(name string, queue types.QueueName) (*actors.Queue, section, error) {
	if name != LocalName || rt.local.queue == nil {
		c := rt.Connection(name)
		if c == nil {
			return nil, 0, fmt.Errorf("%w: %q", types.ErrUnknownConnection, name)
		}
		return c.pick(queue)
	}
	switch queue {
	case types.Outgoing, "":
		return rt.local.queue, pending, nil
	case types.DeadLetters:
		return rt.local.queue, dead, nil
	case types.Retained:
		return rt.local.values, pending, nil
	}
	return nil, 0, fmt.Errorf("%w: %q; %s has outgoing, dead and retained", types.ErrUnknownQueue, queue, LocalName)
}

// readStored reads messages above after, in order: at most limit, and some 8 MiB.
func readStored(ctx context.Context, q *actors.Queue, of section, after types.Seq, limit int) ([]types.Stored, error) {
	fetched, err := actors.Ask(ctx, q.Ref, func(r actors.Reply[actors.Fetched]) actors.QueueMessage {
		return actors.Fetch{After: after, Limit: persistence.Limit{Records: limit, Bytes: pageBytes}, Dead: of == dead, Sent: of == sent, Reply: r}
	})
	if err != nil {
		return nil, err
	}
	store := hex.EncodeToString(fetched.Store[:])
	list := make([]types.Stored, len(fetched.Records))
	for i := range fetched.Records {
		list[i] = fetched.Records[i].Stored(store)
	}
	return list, nil
}
