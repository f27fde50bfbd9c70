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
			want := int64(1)
			if errors.Is(tt.refusal, broker.ErrNoAnswer) { // which is less of a proof
				h.broker.Cut()
				waitFor(t, rt, func() bool { return p.plain.Load() >= 3 && rt.Connection("c").Status().State == types.Online })
				want = 2
			}
			if p.bridges.Load() != want {
				t.Errorf("%d attempts as a bridge", p.bridges.Load())
			}
		})
	}
}

// restarting is a broker that takes bridges and is about to start again: it does
// not answer for a while.
type restarting struct {
	broker.Dialer
	silent atomic.Int64 // CONNECTs that are not answered
	bridge atomic.Bool  // the latest was one of a bridge
}

func (r *restarting) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	if r.silent.Add(-1) >= 0 {
		return nil, broker.Session{}, &broker.HintedError{Err: broker.ErrNoAnswer}
	}
	r.bridge.Store(o.Bridge)
	return r.Dialer.Dial(ctx, o, events)
}

// A broker that is not there proves nothing, nor does one that came back between
// two questions: it is greeted as a bridge again.
func TestBridgeMeetsABrokerThatRestarts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		silent int64
		echoes bool
	}{
		{"back between the two", 1, false},
		{"gone for a while", 2, false},
		{"gone, and back between the two", 3, false},
		{"gone, with echoes", 3, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse()
			r := &restarting{Dialer: h.broker}
			r.silent.Store(tt.silent)
			h.options = func(o *runtime.Options) {
				o.Dialer = func(config.Connection) (broker.Dialer, error) { return r, nil }
			}
			c := config.Connection{Name: "c", Bridge: true}
			if tt.echoes {
				c.Forward, c.Subscribe = []config.Forward{{Topic: "#"}}, []config.Subscribe{{Topic: "a"}}
			}
			rt := h.open(t, c)
			if tt.echoes {
				if status := waitForState(t, rt, "c", types.Backoff); !strings.Contains(status.Hint, "if this stays") || strings.Contains(status.LastError, "takes no bridges") {
					t.Errorf("the status says %q, %q", status.LastError, status.Hint)
				}
			}
			waitForState(t, rt, "c", types.Online)
			if tt.echoes && !r.bridge.Load() {
				t.Error("greeted as by any client, in spite of echoes")
			}
			before := rt.Connection("c").Status().Since
			h.broker.Cut()
			waitFor(t, rt, func() bool {
				s := rt.Connection("c").Status()
				return s.State == types.Online && s.Since.After(before)
			})
			if !r.bridge.Load() {
				t.Error("the broker takes bridges, and is not greeted as by one")
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
