//go:build unix

package prove

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// The gateway does what it promises, the report says so, and nothing is left.
func TestProof(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.QoS = []types.QoS{2, 1, 0}
	r, err := Run(t.Context(), o)
	if err != nil || !r.Proven() || len(r.Verdicts) != 3 || r.Kept {
		t.Fatalf("%v\n%s", err, text(t, r))
	}
	for _, v := range r.Verdicts {
		if v.Acked != o.Messages || v.Kills != o.Kills || v.Cuts != o.Cuts || v.QoS > 0 && v.Arrived != o.Messages {
			t.Errorf("%+v", v)
		}
	}
	for _, want := range []string{"QoS 2  2,000 acked, 0 lost, 0 doubled, 0 reordered", "QoS 1  2,000 acked, 0 lost", "QoS 0  2,000 acked", "loss of power", "that QoS 0 arrives"} {
		if !strings.Contains(text(t, r), want) {
			t.Errorf("no %q in\n%s", want, text(t, r))
		}
	}
	removed(t, o, b)
}

// So it does with what comes from the broker.
func TestProofIncoming(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.Incoming = true
	r, err := Run(t.Context(), o)
	if err != nil || !r.Proven() || len(r.Verdicts) != 2 {
		t.Fatalf("%v\n%s", err, text(t, r))
	}
	for _, v := range r.Verdicts {
		if v.Acked != o.Messages || v.Arrived != o.Messages || v.Kills != o.Kills || v.Cuts != o.Cuts {
			t.Errorf("%+v", v)
		}
	}
	for _, want := range []string{"QoS 2 incoming  2,000 acked, 0 lost, 0 doubled, 0 reordered", "QoS 1 incoming  2,000 acked, 0 lost", "the broker said that it is stored"} {
		if !strings.Contains(text(t, r), want) {
			t.Errorf("no %q in\n%s", want, text(t, r))
		}
	}
	removed(t, o, b)
}

// What is to be kept stays, and it is said where.
func TestKeep(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.QoS, o.Messages, o.Kills, o.Cuts, o.Keep, o.Dir = []types.QoS{1}, 10, 0, 0, true, t.TempDir()
	r, err := Run(t.Context(), o)
	if err != nil || !r.Proven() || !r.Kept || !strings.Contains(text(t, r), "kept: "+r.Store) {
		t.Fatalf("%v\n%s", err, text(t, r))
	}
	for _, name := range []string{"mqttdb.yaml", "gateway.log", "prove/outgoing"} {
		if _, err := os.Stat(filepath.Join(r.Store, "qos1", name)); err != nil {
			t.Error(err)
		}
	}
	if filepath.Dir(r.Store) != o.Dir {
		t.Errorf("it is in %s", r.Store)
	}
}

// Whoever interrupts it finds nothing left, and no gateway that runs on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	o.Messages = 1000000
	o.Progress = func(p Progress) {
		if p.Done > 0 {
			interrupt()
		}
	}
	r, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || r.Proven() || r.Kept {
		t.Errorf("%v\n%s", err, text(t, r))
	}
	removed(t, o, b)
}
