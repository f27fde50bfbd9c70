package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// picky is a broker that takes no bridges.
type picky struct {
	broker.Dialer
	refusal        error
	bridges, plain atomic.Int64 // attempts
}

func (p *picky) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	if o.Bridge {
		p.bridges.Add(1)
		return nil, broker.Session{}, p.refusal
	}
	p.plain.Add(1)
	return p.Dialer.Dial(ctx, o, events)
}

// S6.1: a broker that takes no bridges is greeted as by any client from then on,
// but not if it would then send back what it gets.
func TestBridgeFallsBack(t *testing.T) {
	tests := []struct {
		name     string
		refusal  error
		forward  []config.Forward
		subscr   []config.Subscribe
		fallback bool
	}{
		{"refused", &broker.RefusedError{Code: broker.BadProtocol}, []config.Forward{{Topic: "up/#"}}, []config.Subscribe{{Topic: "down/#"}}, true},
		{"hung up", &broker.HintedError{Err: broker.ErrNoAnswer}, nil, nil, true},
		{"refused, with echoes", &broker.RefusedError{Code: broker.BadProtocol}, []config.Forward{{Topic: "#"}}, []config.Subscribe{{Topic: "a"}}, false},
		{"for another reason", &broker.RefusedError{Code: broker.NotAuthorized}, nil, nil, false},
		{"not reached", errors.New("connection refused"), nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse()
			p := &picky{Dialer: h.broker, refusal: tt.refusal}
			h.options = func(o *runtime.Options) {
				o.Dialer = func(config.Connection) (broker.Dialer, error) { return p, nil }
			}
			rt := h.open(t, config.Connection{Name: "c", Bridge: true, Forward: tt.forward, Subscribe: tt.subscr})
			status := waitForState(t, rt, "c", types.Online, types.Backoff, types.Refused)
			if got := status.State == types.Online; got != tt.fallback {
				t.Fatalf("%s: %s", status.State, status.LastError)
			}
			if !tt.fallback {
				if p.plain.Load() > 0 {
					t.Error("greeted as by any client")
				}
				if tt.subscr != nil && (!strings.Contains(status.LastError, "takes no bridges") || status.Hint == "") {
					t.Errorf("the status says %q, %q", status.LastError, status.Hint)
				}
				return
			}
			h.broker.Cut()
			waitFor(t, rt, func() bool { return p.plain.Load() >= 2 && rt.Connection("c").Status().State == types.Online })
			if p.bridges.Load() != 1 {
				t.Errorf("%d attempts as a bridge", p.bridges.Load())
			}
		})
	}
}

// waitForState waits until a connection is in one of these states.
func waitForState(t testing.TB, rt *runtime.Runtime, name string, states ...types.State) types.Status {
	t.Helper()
	waitFor(t, rt, func() bool { return slices.Contains(states, rt.Connection(name).Status().State) })
	return rt.Connection(name).Status()
}

// waitFor waits until a condition holds; it is looked at after changes.
func waitFor(t testing.TB, rt *runtime.Runtime, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range rt.Watch(ctx) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain: %+v", rt.Status())
}
