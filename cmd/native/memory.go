//go:build !js

package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// ballast is how much memory is reserved and never touched, so that it is
	// none. The garbage collector lets a heap grow to twice what is in use; with
	// the ballast, which counts, it lets a small one grow by some megabytes
	// before it begins, and runs a fraction as often when there is much to do.
	ballast = 8 << 20

	// A gateway is idle if it has allocated less than idleBytes in idleTime.
	idleTime  = 5 * time.Second
	idleBytes = 8 << 20
)

// tendMemory keeps what the gateway has in memory small, until ctx ends: once it
// has nothing to do, what is not in use goes back to the system. Go alone would
// take minutes for that.
func tendMemory(ctx context.Context) {
	reserved := make([]byte, ballast)
	defer runtime.KeepAlive(reserved)
	debug.FreeOSMemory() // what opening the stores has left behind
	tick := time.NewTicker(idleTime)
	defer tick.Stop()
	for had, busy := allocated(), false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		wasBusy := busy
		has := allocated()
		had, busy = has, has-had >= idleBytes
		if wasBusy && !busy {
			debug.FreeOSMemory()
		}
	}
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
