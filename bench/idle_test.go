//go:build linux

package main

import (
	"context"
	"testing"
	"time"
)

// The budget of an embedding program with a hundred connections: at most 32 KiB
// and 2 goroutines for each idle link, 48 KiB and 4 goroutines for each queue.
func TestIdleLinksAndQueuesAreSmall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	m, err := startMosquitto(ctx, t.TempDir(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer m.stop()
	queue, link, err := holdings(ctx, t.TempDir(), addr)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name              string
		held              holding
		bytes, goroutines float64
	}{
		{"queue", queue, queueBytes, queueGoroutines},
		{"link", link, linkBytes, linkGoroutines},
	}
	for _, test := range tests {
		t.Logf("a %s: %.0f bytes, %.2f goroutines; %s", test.name, test.held.bytes, test.held.goroutines, test.held.split)
		if test.held.bytes > test.bytes || test.held.goroutines > test.goroutines {
			t.Errorf("a %s holds %.0f bytes and %.2f goroutines, %.0f and %.0f are allowed; it holds %s",
				test.name, test.held.bytes, test.held.goroutines, test.bytes, test.goroutines, test.held.split)
		}
	}
}
