//go:build !js

package prove

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
)

// fault is a kill of the gateway, or else a cut of its link.
type fault struct {
	kill bool
	at   int // when that many messages have arrived
}

// plan spreads faults over a run, at odd moments.
func plan(kills, cuts, messages int) []fault {
	var all []fault
	add := func(n int, kill bool) {
		for i := range n {
			at := (float64(i) + rand.Float64()) / float64(n) * float64(messages)
			all = append(all, fault{kill, int(at)})
		}
	}
	add(kills, true)
	add(cuts, false)
	slices.SortFunc(all, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return all
}

// faults does what is planned.
type faults struct {
	plan     []fault
	ledger   *ledger
	gateways *gateways
	cutter   *cutter

	kills, cuts atomic.Int32
}

// run returns when all is done, or ctx has ended.
func (f *faults) run(ctx context.Context) error {
	for _, next := range f.plan {
		for {
			changed := f.ledger.changed.next()
			if f.ledger.standing().passed >= next.at {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
		if err := f.do(ctx, next); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	return nil
}

func (f *faults) do(ctx context.Context, next fault) error {
	if !next.kill {
		if err := f.cutter.cut(ctx); err != nil {
			return fmt.Errorf("cut the gateway's link: %w", err)
		}
		f.cuts.Add(1)
		return nil
	}
	f.gateways.kill()
	f.kills.Add(1)
	if err := f.gateways.start(ctx); err != nil {
		return fmt.Errorf("after kill %d: %w", f.kills.Load(), err)
	}
	return nil
}

// counts is how many kills and cuts were done.
func (f *faults) counts() (kills, cuts int) { return int(f.kills.Load()), int(f.cuts.Load()) }
