//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// quiet is how many connections and queues are opened to see what one takes.
	quiet = 100

	// What may be held by one that has nothing to do: bytes of heap and stacks,
	// and goroutines.
	linkBytes, linkGoroutines   = 32 << 10, 2
	queueBytes, queueGoroutines = 48 << 10, 4
)

// idle measures what connections and queues hold that have nothing to do.
func idle(ctx context.Context, b *bench) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	m, err := startMosquitto(ctx, b.dir, addr)
	if err != nil {
		return err
	}
	defer m.stop()
	dir, err := os.MkdirTemp(b.dir, "idle")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	queue, link, err := holdings(ctx, dir, addr)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		what              string
		held              holding
		bytes, goroutines float64
	}{
		{"an open queue", queue, queueBytes, queueGoroutines},
		{"an idle link", link, linkBytes, linkGoroutines},
	} {
		b.report.add(row{
			what: fmt.Sprintf("memory of %s, one of %d", r.what, quiet), target: fmt.Sprintf("≤ %.0f KiB", r.bytes/1024),
			measured: fmt.Sprintf("%.1f KiB", r.held.bytes/1024), held: sample{r.held.bytes}, most: r.bytes,
		})
		b.report.add(row{
			what: fmt.Sprintf("goroutines of %s, one of %d", r.what, quiet), target: fmt.Sprintf("≤ %.0f", r.goroutines),
			measured: fmt.Sprintf("%.2f", r.held.goroutines), held: sample{r.held.goroutines}, most: r.goroutines,
		})
		b.report.note(fmt.Sprintf("%s holds: %s", r.what, r.held.split))
	}
	subscribed, err := links(ctx, filepath.Join(dir, "subscribed"), mqttdb.ConnectionConfig{
		Broker: "mqtt://" + addr, Forward: []config.Forward{{Topic: "up/#"}}, Subscribe: []config.Subscribe{{Topic: "down/#"}},
	})
	if err != nil {
		return err
	}
	b.report.cost("an idle connection that is subscribed, with its queue", subscribed.String())
	return sleeping(ctx, b, addr)
}

// holdings opens queues in dir, and then connections to the broker at addr with
// a queue each, and returns what one of the queues holds, and what one of the
// connections does besides its queue.
func holdings(ctx context.Context, dir, addr string) (queue, link holding, err error) {
	queue, err = queues(ctx, filepath.Join(dir, "queues"))
	if err != nil {
		return queue, link, err
	}
	both, err := links(ctx, filepath.Join(dir, "links"), mqttdb.ConnectionConfig{Broker: "mqtt://" + addr})
	return queue, both.without(queue), err
}

// queues returns what an open queue holds: its actor and its store.
func queues(ctx context.Context, dir string) (holding, error) {
	before := held()
	store, err := nutsdb.Open(dir, nutsdb.Options{})
	if err != nil {
		return holding{}, err
	}
	system := actors.NewSystem(actors.SystemOptions{})
	all := make([]*actors.Queue, quiet)
	for i := range all {
		name := fmt.Sprintf("c%d/outgoing", i)
		open := func(ctx context.Context) (persistence.Queue, error) { return store.Open(ctx, name) }
		if all[i], err = actors.SpawnQueue(system, actors.QueueConfig{Name: name, Open: open}); err != nil {
			return holding{}, err
		}
		if _, err := actors.Ask(ctx, all[i].Ref, func(r actors.Reply[types.QueueStatus]) actors.QueueMessage {
			return actors.Describe{Reply: r}
		}); err != nil {
			return holding{}, err
		}
	}
	each := held().since(before)
	for _, q := range all {
		err = errors.Join(err, q.Stop(ctx))
	}
	return each, errors.Join(err, store.Close())
}

// links returns what a connection like c holds that is online.
func links(ctx context.Context, dir string, like mqttdb.ConnectionConfig) (holding, error) {
	before := held()
	c := mqttdb.Config{DataDir: dir}
	for i := range quiet {
		like.Name = fmt.Sprintf("c%d", i)
		c.Connections = append(c.Connections, like)
	}
	db, err := mqttdb.Open(ctx, c)
	if err != nil {
		return holding{}, err
	}
	c.Connections = nil
	if err := online(ctx, db); err != nil {
		return holding{}, errors.Join(err, db.Close(ctx))
	}
	return held().since(before), db.Close(ctx)
}

// online waits until all connections are.
func online(ctx context.Context, db *mqttdb.DB) error {
	changes := db.Watch(ctx)
	for range changes {
		n := 0
		for _, s := range db.Status() {
			if s.State == types.Online {
				n++
			}
		}
		if n >= quiet {
			return nil
		}
	}
	return ctx.Err()
}
