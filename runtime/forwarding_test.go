package runtime_test

import (
	"context"
	"errors"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Forward tells when a message is stored, and its publications when each broker
// has it.
func TestForward(t *testing.T) {
	h := newHouse()
	h.broker.Withhold(true)
	only := func(name, topic string) config.Connection {
		return config.Connection{Name: name, Forward: []config.Forward{{Topic: topic}}}
	}
	rt := h.open(t, only("a", "both"), only("b", "both"), only("c", "other"))
	got, err := rt.Forward(t.Context(), message("both", "m"))
	if err != nil || len(got) != 2 || got["a"] == nil || got["b"] == nil {
		t.Fatalf("%v %v", got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, p := range got {
		if err := p.Delivered(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v before the broker has answered", name, err)
		}
	}
	h.broker.Withhold(false)
	for name, p := range got {
		if err := p.Delivered(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := rt.Forward(t.Context(), message("nobody", "m")); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := rt.Forward(t.Context(), message("a/#", "m")); !errors.Is(err, types.ErrInvalidTopic) {
		t.Error(err)
	}
}
