//go:build !js

package mqttdb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
)

// Probe tries whether the brokers of a connection can be used as it is
// configured: it connects to each, greets it and leaves again. It uses a client
// id of its own and a clean session, so that a DB which runs keeps its session,
// and publishes no will. Nothing is published or subscribed.
//
// The error joins one for each broker that cannot be used; a hint in it says what
// to do.
func Probe(ctx context.Context, c ConnectionConfig, hooks Hooks) error {
	all := config.Config{Connections: []ConnectionConfig{c}}
	if err := all.SetDefaultsAndValidate(); err != nil {
		return err
	}
	c = all.Connections[0]
	var errs []error
	for _, url := range append([]string{c.Broker}, c.Failover...) {
		one := c
		one.Broker, one.Failover = url, nil
		if err := probe(ctx, one, hooks); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one.Endpoint(), err))
		}
	}
	return errors.Join(errs...)
}

func probe(ctx context.Context, c ConnectionConfig, hooks Hooks) error {
	var random [4]byte
	rand.Read(random[:]) // never fails
	o := broker.ConnectOptions{ClientID: "mqttdb-check-" + hex.EncodeToString(random[:]), CleanSession: true}
	down := make(chan struct{})
	link, _, err := open(ctx, c, o, hooks, func(e broker.Event) {
		if _, over := e.(broker.Down); over {
			close(down)
		}
	})
	if err != nil {
		return advised(err, o.ClientID)
	}
	link.Close(true)
	select {
	case <-down:
		return nil
	case <-ctx.Done():
		link.Close(false)
		return ctx.Err()
	}
}

// advised adds to err what can be done about it.
func advised(err error, clientID string) error {
	var hints []string
	if hint := broker.Hint(err); hint != "" {
		hints = append(hints, hint)
	}
	var refused *broker.RefusedError
	if errors.As(err, &refused) && refused.Code != broker.ServerUnavailable && refused.Code != broker.BadCredentials {
		hints = append(hints, fmt.Sprintf("it was tried as client %s, which a broker refuses that allows certain client ids only", clientID))
	}
	if len(hints) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(hints, "; "))
}
