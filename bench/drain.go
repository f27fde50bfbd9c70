//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// window is how many messages are on the way to the broker: the gateway's
// default.
const window = 100

// firstTopic is that of the first message of a backlog, which is waited for.
const firstTopic = "site1/dev000/1st"

// drained is what a gateway with a backlog did.
type drained struct {
	load
	idle, reopened float64       // bytes of memory: 15 s after the messages came, and after a start
	most           float64       // bytes of memory at most after that start, before there was a broker
	draining       float64       // bytes of memory at most while they left
	perMessage     float64       // bytes on disk for each
	first          time.Duration // from a start after kill -9 until the first message has passed the broker
}

// drain measures how backlogs wait and leave.
func drain(ctx context.Context, b *bench) error {
	sizes := []int{10_000, 100_000, b.backlog}
	if b.backlog == sizes[1] {
		sizes[1] = 30_000
	}
	rates, ratios := make([]sample, len(sizes)), make([]sample, len(sizes))
	var bare, idle, reopened, most, draining, perMessage, first, cpu sample
	for range (b.rounds + 1) / 2 {
		for i, n := range sizes {
			before, err := b.barePublisher(ctx, sizes[1])
			if err != nil {
				return err
			}
			d, err := b.drainBacklog(ctx, n)
			if err != nil {
				return fmt.Errorf("%d pending: %w", n, err)
			}
			after, err := b.barePublisher(ctx, sizes[1])
			if err != nil {
				return err
			}
			limit := (before.rate() + after.rate()) / 2
			bare = append(bare, limit)
			rates[i] = append(rates[i], d.rate())
			ratios[i] = append(ratios[i], d.rate()/limit)
			if n == b.backlog {
				idle, reopened, most = append(idle, d.idle), append(reopened, d.reopened), append(most, d.most)
				perMessage, first = append(perMessage, d.perMessage), append(first, d.first.Seconds())
				draining, cpu = append(draining, d.draining), append(cpu, d.cpuPer())
			}
		}
	}
	b.report.add(row{
		what: fmt.Sprintf("drain of %d to mosquitto", sizes[1]), target: "≥ 0.95 × bare publisher",
		measured: rates[1].text(rate), beside: fmt.Sprintf("bare publisher, window %d: %s", window, bare.text(rate)),
		held: ratios[1], least: 0.95,
	})
	for _, i := range []int{0, 2} {
		same := make(sample, len(rates[i]))
		for k := range same {
			same[k] = rates[i][k] / rates[1][k]
		}
		b.report.add(row{
			what: fmt.Sprintf("drain of %d", sizes[i]), target: "the same, ±10 %",
			measured: rates[i].text(rate), beside: fmt.Sprintf("drain of %d: %s", sizes[1], rates[1].text(rate)),
			held: same, least: 0.9, most: 1.1,
		})
	}
	for _, r := range []row{
		{what: fmt.Sprintf("memory, idle, %d pending", b.backlog), target: "RSS ≤ 32 MB", measured: idle.text(mib), held: idle, most: 32e6},
		{what: "memory right after reopening them", target: "RSS ≤ 32 MB", measured: reopened.text(mib), held: reopened, most: 32e6},
		{what: "memory while they drain, at most", target: "RSS ≤ 64 MB", measured: draining.text(mib), held: draining, most: 64e6},
		{what: "CPU per message out, gateway", target: "≤ 8 µs", measured: cpu.text(micros), held: cpu, most: 8},
		{what: "disk per pending message, after roll-up", target: "≤ 230 B", measured: perMessage.text(bytes), held: perMessage, most: 230},
		{what: "from a start after kill -9 to the first message out", target: "< 300 ms", measured: first.text(seconds), held: first, most: 0.3},
	} {
		b.report.add(r)
	}
	b.report.cost("most memory since reopening", most.text(mib))
	return nil
}

// drainBacklog fills a gateway while its broker is down, kills it, and lets it
// drain into a new broker.
func (b *bench) drainBacklog(ctx context.Context, n int) (d drained, err error) {
	dir, err := os.MkdirTemp(b.dir, "drain")
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	addr, err := freeAddr()
	if err != nil {
		return d, err
	}
	if err := b.fill(ctx, dir, addr, n, &d); err != nil {
		return d, fmt.Errorf("fill: %w", err)
	}
	if err := b.reopen(ctx, dir, addr, &d); err != nil {
		return d, fmt.Errorf("reopen: %w", err)
	}
	broker, err := startMosquitto(ctx, dir, addr)
	if err != nil {
		return d, err
	}
	defer broker.stop()
	subscriber, err := connect(addr, "bench-subscriber")
	if err != nil {
		return d, err
	}
	defer subscriber.conn.Close()
	if err := subscriber.subscribe(firstTopic); err != nil {
		return d, err
	}
	subscriber.conn.SetReadDeadline(time.Now().Add(time.Minute))

	began := time.Now()
	g, err := startGateway(ctx, b.binary, dir, addr, often)
	if err != nil {
		return d, err
	}
	defer g.kill()
	if err := subscriber.awaitPublish(); err != nil {
		return d, err
	}
	leaving := time.Now()
	d.first = leaving.Sub(began)
	before, err := processCPU(g.pid())
	if err != nil {
		return d, err
	}
	if err := g.await(ctx, func(s types.QueueStatus) bool { return s.Pending == 0 }); err != nil {
		return d, err
	}
	d.messages, d.took = n, time.Since(leaving)
	after, err := processCPU(g.pid())
	if err != nil {
		return d, err
	}
	d.cpu = after - before
	d.draining, err = memory(g.pid(), "VmHWM")
	return d, err
}

// fill lets clients publish n messages and waits until the queue is compact.
func (b *bench) fill(ctx context.Context, dir, broker string, n int, d *drained) error {
	g, err := startGateway(ctx, b.binary, dir, broker, often)
	if err != nil {
		return err
	}
	defer g.kill()
	if err := publishFirst(g.mqtt); err != nil {
		return err
	}
	if acked, err := publishAll(g.mqtt, clients, 20, upTo(n-1)); err != nil {
		return fmt.Errorf("%d of %d: %w", acked, n-1, err)
	}
	filled := time.Now()
	if err := g.await(ctx, func(s types.QueueStatus) bool {
		return s.LastCompaction != nil && s.LastCompaction.After(filled)
	}); err != nil {
		return err
	}
	if n == b.backlog {
		if err := rest(ctx); err != nil {
			return err
		}
	}
	bytes, err := diskUsage(g.queueDir())
	if err != nil {
		return err
	}
	d.perMessage = bytes / float64(n)
	d.idle, err = memory(g.pid(), "VmRSS")
	return err
}

// rest lets a gateway be idle for a while: it was busy a moment ago.
func rest(ctx context.Context) error {
	select {
	case <-time.After(15 * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publishFirst publishes the message that is waited for later.
func publishFirst(addr string) error {
	c, err := connect(addr, "bench-first")
	if err != nil {
		return err
	}
	defer c.conn.Close()
	_, err = c.publish(firstTopic, 1, upTo(1))
	return err
}

// reopen starts the gateway on its backlog, without a broker, and looks at its
// memory.
func (b *bench) reopen(ctx context.Context, dir, broker string, d *drained) error {
	g, err := startGateway(ctx, b.binary, dir, broker, often)
	if err != nil {
		return err
	}
	defer g.kill()
	if d.reopened, err = memory(g.pid(), "VmRSS"); err != nil {
		return err
	}
	d.most, err = memory(g.pid(), "VmHWM")
	return err
}

// barePublisher publishes n messages to a new broker and does nothing else.
func (b *bench) barePublisher(ctx context.Context, n int) (load, error) {
	dir, err := os.MkdirTemp(b.dir, "bare")
	if err != nil {
		return load{}, err
	}
	defer os.RemoveAll(dir)
	addr, err := freeAddr()
	if err != nil {
		return load{}, err
	}
	broker, err := startMosquitto(ctx, dir, addr)
	if err != nil {
		return load{}, err
	}
	defer broker.stop()
	c, err := connect(addr, "bench-bare")
	if err != nil {
		return load{}, err
	}
	defer c.conn.Close()
	before, began := selfCPU(), time.Now()
	acked, err := c.publish(topic(0), window, upTo(n))
	return load{messages: acked, took: time.Since(began), cpu: selfCPU() - before}, err
}
