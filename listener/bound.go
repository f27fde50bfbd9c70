package listener

import (
	"context"
	"log/slog"
)

// Bound are addresses that are open and not served yet: who connects waits. It
// lets a gateway find out that a port is taken before it opens its queues and
// greets brokers.
type Bound struct {
	endpoints []*endpoint
}

// Bind opens addresses, all or none; log may be nil. They are served by a Server
// that has them in its Options, or closed.
func Bind(ctx context.Context, endpoints []Endpoint, log *slog.Logger) (*Bound, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &Bound{}
	for _, e := range endpoints {
		opened, err := e.open(ctx, log)
		if err != nil {
			b.Close()
			return nil, err
		}
		b.endpoints = append(b.endpoints, opened)
	}
	return b, nil
}

// Close closes addresses that no Server has taken.
func (b *Bound) Close() {
	for _, e := range b.endpoints {
		e.listener.Close()
	}
}
