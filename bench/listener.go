//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/mqttdb/mqttdb/types"
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
	b.report.note("The gateway's status says how many bytes it has written and how often it has synced. The bare loop beside it writes as many bytes in as many equal batches: the time of a batch being nearly a constant and a part that grows with its size, that takes as long as the true sizes.")
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
	defer g.kill()
	idle, err := g.usage(ctx)
	if err != nil {
		return load{}, err
	}
	began := time.Now()
	n, err := publishAll(g.mqtt, clients, window, forTime(b.length))
	took := time.Since(began)
	if err != nil {
		return load{}, err
	}
	busy, err := g.usage(ctx)
	if err != nil {
		return load{}, err
	}
	batches := equal(int64(busy.BytesWritten-idle.BytesWritten), int(busy.Syncs-idle.Syncs))
	return load{messages: n, took: took, cpu: busy.cpu - idle.cpu, batches: batches}, os.RemoveAll(dir)
}

// usage is what a gateway has used since its start.
type usage struct {
	types.QueueStatus
	cpu time.Duration
}

func (g *gateway) usage(ctx context.Context) (u usage, err error) {
	if u.cpu, err = processCPU(g.pid()); err != nil {
		return u, err
	}
	u.QueueStatus, err = g.status(ctx)
	return u, err
}

// equal is total in n equal parts.
func equal(total int64, n int) []int64 {
	parts := make([]int64, n)
	for i := range parts {
		parts[i] = total / int64(n)
	}
	return parts
}
