//go:build !js

package stored

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

// Loader puts messages into the queues of a gateway that does not run. It has one
// user at a time.
type Loader struct {
	dir    string
	store  *nutsdb.Store
	system *actors.System
	queues map[string]*actors.Queue
}

// NewLoader is for the queues below dir, the data_dir of the gateway. Nothing is made
// there before something is to be stored.
func NewLoader(dir string, log *slog.Logger) (*Loader, error) {
	s, err := nutsdb.Open(dir, nutsdb.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return &Loader{dir, s, actors.NewSystem(actors.SystemOptions{Logger: log}), make(map[string]*actors.Queue)}, nil
}

// Has says whether there are queues of a connection.
func (l *Loader) Has(connection string) bool {
	info, err := os.Stat(filepath.Join(l.dir, connection))
	return err == nil && info.IsDir()
}

// Import stores messages behind all others of that queue, and returns how many were
// new when they are synced. The limits of the queue are not looked at: nothing would make
// room. Errors wrap types.ErrInUse if a gateway runs.
func (l *Loader) Import(ctx context.Context, connection string, queue types.QueueName, list []types.Stored, again bool) (int, error) {
	name := connection + "/" + string(queue)
	q, err := l.open(ctx, name)
	if err != nil {
		return 0, err
	}
	n, err := q.Import(ctx, list, actors.Import{Again: again})
	if err != nil {
		return n, fmt.Errorf("import into %s: %w", name, err)
	}
	return n, nil
}

func (l *Loader) open(ctx context.Context, name string) (*actors.Queue, error) {
	if q := l.queues[name]; q != nil {
		return q, nil
	}
	q, err := actors.SpawnQueue(l.system, actors.QueueConfig{
		Name:  name,
		Open:  func(ctx context.Context) (persistence.Queue, error) { return l.store.Open(ctx, name) },
		Fatal: func(error) bool { return true }, // it is not waited for what may become of it
	})
	if err != nil {
		return nil, err
	}
	l.queues[name] = q
	_, err = actors.Ask(ctx, q.Ref, func(r actors.Reply[types.QueueStatus]) actors.QueueMessage { return actors.Describe{Reply: r} })
	return q, err
}

// Close closes the queues.
func (l *Loader) Close(ctx context.Context) error {
	var errs []error
	for _, q := range l.queues {
		errs = append(errs, q.Stop(ctx))
	}
	return errors.Join(append(errs, l.store.Close())...)
}
