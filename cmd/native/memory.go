//go:build !js

package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// ballast is how much memory is reserved and never touched, so that it is none.
	// The garbage collector lets a heap grow by growth percent of what is in use; the
	// ballast counts for that, so that a small heap may grow by some megabytes before
	// it begins, and it runs a fraction as often when there is much to do. A large
	// heap grows by half of itself, and not to twice its size, as it would without.
	ballast = 20 << 20
	growth  = 50

	// A gateway is calm if it has allocated less than calmBytes in calmTime.
	calmTime  = 2 * time.Second
	calmBytes = 3 << 20

	// worthIt is how much a calm gateway has to have allocated, over whatever time,
	// for memory to be given back again: what little it does would otherwise have
	// filled, in the course of minutes, all that the ballast lets it have.
	worthIt = 2 << 20
)

// memory is what keeps the gateway's small: the ballast.
type memory []byte

// reserveMemory is called before anything else takes memory: what was in use before,
// and was freed, would be filled with zeros for the ballast, which is none then.
func reserveMemory() memory {
	if os.Getenv("GOGC") == "" { // else whoever runs the gateway has decided
		debug.SetGCPercent(growth)
	}
	return make([]byte, ballast)
}

// tend keeps what the gateway has in memory small, until ctx ends: while it has
// little to do, what is not in use goes back to the system. Go alone would take
// minutes for that.
func (m memory) tend(ctx context.Context) {
	defer runtime.KeepAlive(m)
	debug.FreeOSMemory() // what opening the stores has left behind
	tick := time.NewTicker(calmTime)
	defer tick.Stop()
	for had, freed := allocated(), allocated(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		has := allocated()
		calm := has-had < calmBytes
		had = has
		if calm && has-freed >= worthIt {
			debug.FreeOSMemory()
			freed = allocated()
		}
	}
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
