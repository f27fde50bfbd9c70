//go:build !js

package main

import (
	"context"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/types"
)

// sink is the runtime as the local broker sees it.
type sink struct{ db *mqttdb.DB }

// Publish implements listener.Sink.
func (s sink) Publish(messages []types.Passage, room func()) int {
	return s.db.RouteAll(messages, room)
}

// api is the runtime as the HTTP API sees it.
type api struct{ *mqttdb.DB }

// Publish implements httpapi.Runtime.
func (a api) Publish(ctx context.Context, connection string, m types.Message) (types.Seq, error) {
	return a.Connection(connection).Publish(ctx, m)
}

// Clear implements httpapi.Runtime.
func (a api) Clear(ctx context.Context, connection string, which types.Selection) (uint64, error) {
	return a.Connection(connection).Clear(ctx, which)
}

// Pause implements httpapi.Runtime.
func (a api) Pause(connection string) error { return a.Connection(connection).Pause() }

// Resume implements httpapi.Runtime.
func (a api) Resume(connection string) error { return a.Connection(connection).Resume() }
