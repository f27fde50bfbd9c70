//go:build !js

package main

import (
	"context"
	"fmt"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// sink is the runtime as the local broker sees it.
type sink struct{ db *mqttdb.DB }

// Publish implements listener.Sink.
func (s sink) Publish(messages []types.Passage, room func()) int {
	return s.db.RouteAll(messages, room)
}

// api is the gateway as the HTTP API sees it.
type api struct{ g *running }

// Status implements httpapi.Runtime.
func (a api) Status() []types.Status { return a.withClients(a.g.db.Status()) }

func (a api) withClients(all []types.Status) []types.Status {
	for i := range all {
		if all[i].Name == runtime.LocalName {
			all[i].Clients = clients(a.g.local.Stats())
		}
	}
	return all
}

// Watch implements httpapi.Runtime.
func (a api) Watch(ctx context.Context) <-chan []types.Status {
	out := make(chan []types.Status)
	go func() {
		defer close(out)
		for all := range a.g.db.Watch(ctx) {
			select {
			case out <- a.withClients(all):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Publish implements httpapi.Runtime.
func (a api) Publish(ctx context.Context, connection string, m types.Message) (types.Seq, error) {
	p, err := a.g.db.Connection(connection).PublishAsync(ctx, m)
	if err != nil {
		return 0, err
	}
	return p.Stored(ctx)
}

// Clear implements httpapi.Runtime.
func (a api) Clear(ctx context.Context, connection string, which types.Selection) (uint64, error) {
	return a.g.db.Clear(ctx, connection, which)
}

// Pause implements httpapi.Runtime.
func (a api) Pause(connection string) error { return a.g.db.Connection(connection).Pause() }

// Resume implements httpapi.Runtime.
func (a api) Resume(connection string) error { return a.g.db.Connection(connection).Resume() }

// Compact implements httpapi.Runtime.
func (a api) Compact(ctx context.Context, connection string, queue types.QueueName) (types.Compaction, error) {
	return a.g.db.Compact(ctx, connection, queue)
}

// Replay implements httpapi.Runtime.
func (a api) Replay(ctx context.Context, connection string, which types.Replay) (types.Replayed, error) {
	return a.g.db.Connection(connection).Replay(ctx, which)
}

// Messages implements httpapi.Messages.
func (a api) Messages(ctx context.Context, connection string, queue types.QueueName, after types.Seq, limit int) ([]types.Stored, error) {
	return a.g.db.Messages(ctx, connection, queue, after, limit)
}

// Export implements httpapi.Archive.
func (a api) Export(ctx context.Context, connection string, e types.Extract, each func(*types.Stored) error) error {
	return a.g.db.Export(ctx, connection, e, each)
}

// Import implements httpapi.Archive.
func (a api) Import(ctx context.Context, connection string, queue types.QueueName, list []types.Stored, again bool) (int, error) {
	return a.g.db.Import(ctx, connection, queue, list, again)
}

// Requeue implements httpapi.Messages.
func (a api) Requeue(ctx context.Context, connection string, queue types.QueueName, seq types.Seq) (types.Seq, error) {
	return a.g.db.Connection(connection).Requeue(ctx, queue, seq)
}

// Remove implements httpapi.Messages.
func (a api) Remove(ctx context.Context, connection string, queue types.QueueName, seq types.Seq) error {
	return a.g.db.Connection(connection).Remove(ctx, queue, seq)
}

// Consumers implements httpapi.Consumers.
func (a api) Consumers(ctx context.Context, connection string) ([]types.ConsumerStatus, error) {
	return a.g.db.Connection(connection).Consumers(ctx)
}

// RemoveConsumer implements httpapi.Consumers.
func (a api) RemoveConsumer(ctx context.Context, connection, consumer string) (bool, error) {
	return a.g.db.Connection(connection).RemoveConsumer(ctx, consumer)
}

// Forward implements httpapi.Runtime.
func (a api) Forward(ctx context.Context, m types.Message, delivered bool) (map[string]types.Seq, error) {
	publications, err := a.g.db.TryForward(ctx, m)
	if err != nil {
		return nil, err
	}
	a.g.local.Deliver(m)
	seqs := make(map[string]types.Seq, len(publications))
	for name, p := range publications {
		seqs[name], _ = p.Stored(ctx) // it is
	}
	if delivered {
		for name, p := range publications {
			if err := p.Delivered(ctx); err != nil {
				return seqs, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return seqs, nil
}

// Drain implements httpapi.Runtime.
func (a api) Drain(ctx context.Context, connection string) error {
	return a.g.db.Connection(connection).Drain(ctx)
}

// Reload implements httpapi.Runtime.
func (a api) Reload(ctx context.Context, by string) (mqttdb.Reloaded, error) {
	return a.g.reload(ctx, by)
}

// LastReload implements httpapi.Runtime.
func (a api) LastReload() *httpapi.Reload { return a.g.lastReload() }
