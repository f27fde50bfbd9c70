//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
)

const (
	producers = 256
	syncDelay = 20 * time.Millisecond
)

// library measures Publish beside the bare loop.
func library(ctx context.Context, b *bench) error {
	var ours, bare, ratios, cpu, syncs sample
	for range b.rounds {
		l, err := b.publish(ctx, 0)
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
		what: fmt.Sprintf("library, %d producers", producers), target: "≥ 0.8 × bare loop",
		measured: ours.text(rate), beside: "bare append+fdatasync: " + bare.text(rate),
		held: ratios, least: 0.8,
	})
	b.report.cost("CPU per message in, library (producers included)", cpu.text(micros))
	b.report.cost("syncs per 1000 messages, library", syncs.text(plain))
	return nil
}

// slowDisk measures Publish on a disk whose syncs take long.
func slowDisk(ctx context.Context, b *bench) error {
	limit := producers / syncDelay.Seconds()
	var ours, ratios sample
	for range b.rounds {
		l, err := b.publish(ctx, syncDelay)
		if err != nil {
			return err
		}
		ours, ratios = append(ours, l.rate()), append(ratios, l.rate()/limit)
	}
	b.report.add(row{
		what: fmt.Sprintf("library, %d producers, %v more per sync", producers, syncDelay), target: fmt.Sprintf("≥ 0.9 × producers/%v", syncDelay),
		measured: ours.text(rate), beside: "producers/" + syncDelay.String() + ": " + rate(limit),
		held: ratios, least: 0.9,
	})
	return nil
}

// publish lets producers publish for a while, each waiting for its message to
// be committed before the next. There is no broker.
func (b *bench) publish(ctx context.Context, delay time.Duration) (load, error) {
	dir, err := os.MkdirTemp(b.dir, "library")
	if err != nil {
		return load{}, err
	}
	store, err := nutsdb.Open(dir, nutsdb.Options{})
	if err != nil {
		return load{}, err
	}
	r := &recorder{Store: store, delay: delay}
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		Store:       r,
		Connections: []mqttdb.ConnectionConfig{{Name: "bench", Broker: "mqtt://" + nobody}},
	})
	if err != nil {
		return load{}, err
	}
	opened := len(r.taken())
	conn := db.Connection("bench")
	counts, errs := make([]int, producers), make([]error, producers)
	before, began := selfCPU(), time.Now()
	var all sync.WaitGroup
	for i := range producers {
		all.Go(func() {
			ctx, cancel := context.WithCancel(ctx) // of its own, as that of a request is
			defer cancel()
			buf, name := make([]byte, payloadSize), topic(i)
			for time.Since(began) < b.length && errs[i] == nil {
				fill(buf, i, counts[i])
				if _, errs[i] = conn.Publish(ctx, mqttdb.Message{Topic: name, Payload: buf, QoS: 1}); errs[i] == nil {
					counts[i]++
				}
			}
		})
	}
	all.Wait()
	l := load{took: time.Since(began), cpu: selfCPU() - before, batches: r.taken()[opened:]}
	for _, n := range counts {
		l.messages += n
	}
	return l, errors.Join(errors.Join(errs...), db.Close(ctx), os.RemoveAll(dir))
}

// nobody is an address that nobody listens at.
const nobody = "127.0.0.1:9"
