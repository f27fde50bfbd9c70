//go:build !js

package stored

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

// Queues are the names by which the messages in a directory go: those of the queue
// that lies there, what is pending first.
func Queues(dir string) []types.QueueName {
	switch filepath.Base(dir) {
	case "outgoing":
		return []types.QueueName{types.Outgoing, types.DeadLetters, types.SentMessages}
	case "incoming":
		return []types.QueueName{types.Incoming, types.IncomingDead}
	case "retained":
		return []types.QueueName{types.Retained}
	}
	return nil
}

// kindOfQueue is which messages of its directory a name means.
func kindOfQueue(queue types.QueueName) journal.Kind {
	switch queue {
	case types.DeadLetters, types.IncomingDead:
		return journal.Dead
	case types.SentMessages:
		return journal.Sent
	}
	return journal.Pending
}

// Read reads the messages of the queue in dir that are meant, e.Queue being one of
// Queues(dir), and calls each with them, in order, until it returns an error, which is
// returned. Nothing in dir changes. What cannot be read is passed over and told damaged.
// The error wraps types.ErrInUse if somebody has the queue open.
func Read(ctx context.Context, dir string, e types.Extract, damaged func(error), each func(*archive.Message) error) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	v, busy, err := nutsdb.Look(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if busy {
		return fmt.Errorf("%s is %w: say the name of the connection, so that the gateway is asked, or stop that", dir, types.ErrInUse)
	}
	if n := v.Missing(); n > 0 && kindOfQueue(e.Queue) == journal.Pending {
		damaged(fmt.Errorf("%d messages were accepted, have not left, and are not there", n))
	}
	id := v.State().StoreID
	store := fmt.Sprintf("%x", id[:])
	m := archive.Message{Connection: filepath.Base(filepath.Dir(dir)), Queue: e.Queue}
	for r, err := range v.Records(ctx, kindOfQueue(e.Queue)) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, types.ErrInUse): // since a moment ago
			return fmt.Errorf("read %s: %w: say the name of the connection, so that the gateway is asked", dir, err)
		case err != nil:
			damaged(err)
			continue
		}
		if m.Stored = r.Stored(store); !e.Selects(&m.Stored) {
			continue
		}
		if err := each(&m); err != nil {
			return err
		}
	}
	return nil
}
