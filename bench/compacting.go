//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

const (
	compactedBytes = 2 << 30 // of messages, of which every second has left
	compactedBatch = 1000    // messages in each commit of them
	callers        = 16      // who publish meanwhile, each waiting for its message to be stored
)

// compacting measures how long those who publish and fetch wait while a large store
// is compacted, and before and behind that.
func compacting(ctx context.Context, b *bench) (err error) {
	dir, err := os.MkdirTemp(b.dir, "compacting")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := nutsdb.Open(dir, nutsdb.Options{})
	if err != nil {
		return err
	}
	if err := halfEmpty(ctx, store); err != nil {
		return errors.Join(err, store.Close())
	}
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		Store: store,
		Connections: []mqttdb.ConnectionConfig{{
			Name: "bench", Broker: "mqtt://" + nobody, CompactionInterval: 24 * time.Hour,
		}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	conn := db.Connection("bench")
	quiet := func(ctx context.Context) error {
		select {
		case <-time.After(10 * b.length):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	text := "While a store of 2 GiB is compacted, of which every second message has left:\n\n" +
		"| | calls | p50 | p99 | p99.9 | longest |\n|---|---|---|---|---|---|\n"
	var during waits
	for _, phase := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"before", quiet},
		{"meanwhile", func(ctx context.Context) error {
			began := time.Now()
			did, err := conn.Compact(ctx, mqttdb.Outgoing)
			b.report.cost("compaction of 2 GiB", fmt.Sprintf("%s; %s written again, %s given back, %s left",
				seconds(time.Since(began).Seconds()), mib(float64(did.Rewritten)), mib(float64(did.Reclaimed)), mib(float64(did.Disk))))
			return err
		}},
		{"after", quiet},
	} {
		published, fetched, err := watchCalls(ctx, conn, phase.do)
		if err != nil {
			return err
		}
		if phase.name == "meanwhile" {
			during = published
		}
		text += published.line("publish, "+phase.name) + fetched.line("fetch, "+phase.name)
	}
	b.report.tables = append(b.report.tables, text)
	b.report.add(row{
		what: "publish while a large store is compacted, p99.9", target: "≤ 50 ms",
		measured: millis(during.at(0.999)), held: sample{during.at(0.999).Seconds()}, most: 0.05,
	})
	return nil
}

// halfEmpty stores many messages and lets every second leave.
func halfEmpty(ctx context.Context, store *nutsdb.Store) error {
	q, err := store.Open(ctx, "bench/outgoing")
	if err != nil {
		return err
	}
	entries := make([]persistence.Entry, compactedBatch)
	for i := range entries {
		payload := make([]byte, payloadSize)
		fill(payload, i, i)
		entries[i] = persistence.Entry{Message: types.Message{Topic: topic(i % clients), Payload: payload, QoS: 1}, Enqueued: time.Now()}
	}
	for range compactedBytes / compactedBatch / payloadSize {
		first, err := q.Write(ctx, persistence.Commit{Messages: entries})
		if err != nil {
			return err
		}
		var c persistence.Commit
		for s := first; s < first+compactedBatch; s += 2 {
			c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: s, Last: s}, Reason: types.Sent})
		}
		if _, err := q.Write(ctx, c); err != nil {
			return err
		}
	}
	return q.Close(ctx)
}

// watchCalls lets callers publish, and one fetch, while something is done, and says
// how long each call took.
func watchCalls(ctx context.Context, conn *mqttdb.Connection, do func(context.Context) error) (published, fetched waits, err error) {
	over := make(chan struct{})
	var mu sync.Mutex
	var all sync.WaitGroup
	var errs []error
	caller := func(to *waits, call func(n int) error) {
		all.Go(func() {
			var own waits
			for n := 0; ; n++ {
				began := time.Now()
				if err := call(n); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					return
				}
				own = append(own, time.Since(began))
				select {
				case <-over:
					mu.Lock()
					*to = append(*to, own...)
					mu.Unlock()
					return
				default:
				}
			}
		})
	}
	for i := range callers {
		buf := make([]byte, payloadSize)
		caller(&published, func(n int) error {
			fill(buf, i, n)
			_, err := conn.Publish(ctx, mqttdb.Message{Topic: topic(i), Payload: buf, QoS: 1})
			return err
		})
	}
	var after types.Seq
	caller(&fetched, func(int) error {
		list, err := conn.Messages(ctx, mqttdb.Outgoing, after, 100)
		if len(list) > 0 {
			after = list[len(list)-1].Seq + 100_000 // all over the store
		} else {
			after = 0
		}
		time.Sleep(time.Millisecond)
		return err
	})
	err = do(ctx)
	close(over)
	all.Wait()
	slices.Sort(published)
	slices.Sort(fetched)
	return published, fetched, errors.Join(append(errs, err)...)
}

// waits is how long calls took, in order.
type waits []time.Duration

// at is what that share of them took at most.
func (w waits) at(share float64) time.Duration {
	if len(w) == 0 {
		return 0
	}
	return w[min(int(float64(len(w))*share), len(w)-1)]
}

func (w waits) line(what string) string {
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s |\n", what, len(w), millis(w.at(0.5)), millis(w.at(0.99)), millis(w.at(0.999)), millis(w.at(1)))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
