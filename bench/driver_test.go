//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// TestMain makes the test's own program a driver when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "--dir" {
		protocol.Main(func(_ context.Context, s protocol.Settings) (protocol.Queue, error) {
			if how := os.Getenv(behaviour); how != "" {
				return openKeeper(s, how)
			}
			return &sink{}, nil
		})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// sink is a queue that refuses message 1000 of a producer.
type sink struct{}

func (*sink) Enqueue(_ context.Context, _ string, payload []byte) (func() error, error) {
	if _, number, err := protocol.Parse(payload); err != nil || number == 1000 {
		return nil, errors.New("this one it does not want")
	}
	return nil, nil
}

func (*sink) Pending() int                { return -1 }
func (*sink) Close(context.Context) error { return nil }

func TestDriver(t *testing.T) {
	start := func(t *testing.T) *driver {
		t.Helper()
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		d, err := startDriver(t.Context(), []string{program}, t.TempDir(), nobody)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.kill)
		return d
	}
	order := protocol.Order{Producers: 2, Window: 3, Messages: 10}
	t.Run("obeys, and ends in good order", func(t *testing.T) {
		d := start(t)
		if a, err := d.enqueue(t.Context(), order); err != nil || a.Stored != 10 || a.Next[0]+a.Next[1] != 10 {
			t.Errorf("%+v, %v", a, err)
		}
		refused := protocol.Order{Producers: 1, Window: 3, Messages: 10, First: []uint64{995}}
		if _, err := d.enqueue(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "does not want") {
			t.Errorf("a refusal is %v", err)
		}
		publish, leave, err := d.single(t.Context())
		if err != nil || publish(7) != nil || publish(1000) == nil || leave() != nil {
			t.Errorf("single messages: %v", err)
		}
		if err := d.close(t.Context()); err != nil || d.process.ProcessState.ExitCode() != 0 {
			t.Errorf("it ends with %v: %v", d.process.ProcessState, err)
		}
	})
	t.Run("is killed", func(t *testing.T) {
		d := start(t)
		d.kill()
		if _, err := d.enqueue(t.Context(), order); err == nil {
			t.Error("it obeys though it was killed")
		}
	})
	t.Run("takes too long", func(t *testing.T) {
		d := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		began := make(chan error)
		go func() {
			_, err := d.enqueue(ctx, protocol.Order{Producers: 1, Window: 1, Seconds: 3600, First: []uint64{2000}})
			began <- err
		}()
		cancel()
		if err := <-began; !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("is not there", func(t *testing.T) {
		if _, err := startDriver(t.Context(), []string{t.TempDir() + "/nothing"}, t.TempDir(), nobody); err == nil {
			t.Error("it runs")
		}
	})
}
