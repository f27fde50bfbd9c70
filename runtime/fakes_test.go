package runtime_test

import (
	"context"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// stuckStore is a store one queue of which does not get anything written until
// it is released.
type stuckStore struct {
	persistence.Store
	name    string
	release chan struct{}
}

func (s *stuckStore) Open(ctx context.Context, name string) (persistence.Queue, error) {
	q, err := s.Store.Open(ctx, name)
	if err != nil || name != s.name {
		return q, err
	}
	return &stuckQueue{q, s.release}, nil
}

type stuckQueue struct {
	persistence.Queue
	release chan struct{}
}

func (q *stuckQueue) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	if len(c.Messages) > 0 {
		<-q.release
	}
	return q.Queue.Write(ctx, c)
}

// dialerFunc is a broker.Dialer.
type dialerFunc func(context.Context, broker.ConnectOptions, func(broker.Event)) (broker.Link, broker.Session, error)

func (f dialerFunc) Dial(ctx context.Context, o broker.ConnectOptions, tell func(broker.Event)) (broker.Link, broker.Session, error) {
	return f(ctx, o, tell)
}
