//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// throughListener measures 64 clients of a gateway beside the bare loop.
func throughListener(ctx context.Context, b *bench) error {
	for _, window := range []int{1, 20} {
		var ours, bare, ratios, cpu, syncs sample
		for range b.rounds {
			l, err := b.publishToGateway(ctx, window)
			if err != nil {
				return err
			}
			limit, err := bareLoop(b.dir, l)
			if err != nil {
				return err
			}
			ours, bare = append(ours, l.rate()), append(bare, limit.rate())
			ratios = append(ratios, l.rate()/limit.rate())
			cpu, syncs = append(cpu, l.cpuPer()), append(syncs, l.syncsPer1000())
		}
		b.report.add(row{
			what: fmt.Sprintf("listener, %d clients, window %d", clients, window), target: "≥ 0.5 × bare loop",
			measured: ours.text(rate), beside: "bare append+fdatasync: " + bare.text(rate),
			held: ratios, least: 0.5,
		})
		b.report.cost(fmt.Sprintf("CPU per message in, gateway, window %d (without the clients)", window), cpu.text(micros))
		b.report.cost(fmt.Sprintf("syncs per 1000 messages, gateway, window %d", window), syncs.text(plain))
	}
	b.report.note("The batches of the gateway are read from its log after it was killed: each entry that holds messages counts as one durable write.")
	return nil
}

// publishToGateway lets clients publish for a while. There is no broker.
func (b *bench) publishToGateway(ctx context.Context, window int) (load, error) {
	dir, err := os.MkdirTemp(b.dir, "listener")
	if err != nil {
		return load{}, err
	}
	g, err := startGateway(ctx, b.binary, dir, nobody, never)
	if err != nil {
		return load{}, err
	}
	before, err := processCPU(g.pid())
	if err != nil {
		g.kill()
		return load{}, err
	}
	began := time.Now()
	n, err := publishAll(g.mqtt, window, forTime(b.length))
	took := time.Since(began)
	after, err2 := processCPU(g.pid())
	g.kill()
	if err := errors.Join(err, err2); err != nil {
		return load{}, err
	}
	batches, err := g.writtenBatches(ctx)
	return load{messages: n, took: took, cpu: after - before, batches: batches}, errors.Join(err, os.RemoveAll(dir))
}
