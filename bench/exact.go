//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// exactWindow is how many messages of QoS 2 are on their way: the gateway's
// default, and as many as mosquitto takes of a client.
const exactWindow = 20

// exact measures how a backlog leaves at QoS 2.
func exact(ctx context.Context, b *bench) error {
	const n = 20_000
	var bare, rates, ratios, syncs, bareSyncs, cpu sample
	for range b.rounds {
		before, err := b.bareExact(ctx, n)
		if err != nil {
			return err
		}
		l, synced, err := b.drainExact(ctx, n)
		if err != nil {
			return err
		}
		after, err := b.bareExact(ctx, n)
		if err != nil {
			return err
		}
		limit := (before.rate() + after.rate()) / 2
		bare, bareSyncs = append(bare, limit), append(bareSyncs, (before.syncsPer1000()+after.syncsPer1000())/2000)
		rates, ratios = append(rates, l.rate()), append(ratios, l.rate()/limit)
		syncs, cpu = append(syncs, synced), append(cpu, l.cpuPer())
	}
	b.report.add(row{
		what: fmt.Sprintf("drain of %d at QoS 2, window %d", n, exactWindow), target: "≥ 1.0 × bare publisher",
		measured: rates.text(rate), beside: "bare publisher that syncs once per batch of PUBRECs: " + bare.text(rate),
		held: ratios, least: 1.0,
	})
	b.report.add(row{
		what: "syncs per message at QoS 2", target: "≤ 0.3",
		measured: syncs.text(ratio), held: syncs, most: 0.3,
	})
	b.report.cost("syncs per message of the bare publisher at QoS 2", bareSyncs.text(ratio))
	b.report.cost("CPU per message out at QoS 2, gateway", cpu.text(micros))
	return nil
}

// drainExact lets a gateway with a backlog drain it at QoS 2, and returns how often
// it synced for a message.
func (b *bench) drainExact(ctx context.Context, n int) (l load, syncs float64, err error) {
	dir, err := os.MkdirTemp(b.dir, "exact")
	if err != nil {
		return l, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	addr, err := freeAddr()
	if err != nil {
		return l, 0, err
	}
	g, err := startGateway(ctx, b.binary, dir, addr, never, `forward: [{topic: "#", qos: 2}]`)
	if err != nil {
		return l, 0, err
	}
	defer g.kill()
	if acked, err := publishAll(g.mqtt, clients, 20, upTo(n)); err != nil {
		return l, 0, fmt.Errorf("%d of %d: %w", acked, n, err)
	}
	full, err := g.status(ctx)
	if err != nil {
		return l, 0, err
	}
	broker, err := startMosquitto(ctx, dir, addr)
	if err != nil {
		return l, 0, err
	}
	defer broker.stop()
	// The gateway waits before it dials again: that does not count.
	var began time.Time
	var first types.QueueStatus
	if err := g.await(ctx, func(s types.QueueStatus) bool {
		began, first = time.Now(), s
		return s.Sent > 0
	}); err != nil {
		return l, 0, err
	}
	before, err := processCPU(g.pid())
	if err != nil {
		return l, 0, err
	}
	var last types.QueueStatus
	if err := g.await(ctx, func(s types.QueueStatus) bool { last = s; return s.Pending == 0 }); err != nil {
		return l, 0, err
	}
	took := time.Since(began)
	after, err := processCPU(g.pid())
	sent := int(last.Sent - first.Sent)
	return load{messages: sent, took: took, cpu: after - before}, float64(last.Syncs-full.Syncs) / float64(n), err
}

// bareExact publishes n messages to a new broker at QoS 2, and does no more than has
// to be done: it notes the PUBRECs that have arrived together in a file, syncs that,
// and releases them.
func (b *bench) bareExact(ctx context.Context, n int) (l load, err error) {
	dir, err := os.MkdirTemp(b.dir, "bare")
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	addr, err := freeAddr()
	if err != nil {
		return l, err
	}
	broker, err := startMosquitto(ctx, dir, addr)
	if err != nil {
		return l, err
	}
	defer broker.stop()
	c, err := connect(addr, "bench-exact")
	if err != nil {
		return l, err
	}
	defer c.conn.Close()
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return l, err
	}
	defer journal.Close()
	before, began := selfCPU(), time.Now()
	l.batches, err = c.publishExact(topic(0), exactWindow, n, journal)
	l.messages, l.took, l.cpu = n, time.Since(began), selfCPU()-before
	return l, err
}

// publishExact publishes n messages at QoS 2 and returns how much it noted each time.
func (c *client) publishExact(topic string, window, n int, journal *os.File) (batches []int64, err error) {
	p := publisher{topic: topic, window: window, more: upTo(n), qos: 2}
	var noted []byte
	for {
		p.buf = p.refill(p.buf)
		if len(p.buf) > 0 {
			if _, err := c.conn.Write(p.buf); err != nil {
				return batches, err
			}
		}
		if p.done() {
			return batches, nil
		}
		p.buf, noted = p.buf[:0], noted[:0]
		for first := true; first || c.in.Buffered() >= pubackSize; first = false {
			b, err := c.in.Peek(pubackSize)
			if err != nil {
				return batches, err
			}
			switch b[0] {
			case 0x50: // PUBREC
				noted = append(noted, b[2:]...)
				p.buf = append(p.buf, 0x62, 2, b[2], b[3])
			case 0x70: // PUBCOMP
				p.acked++
			default:
				return batches, fmt.Errorf("packet %x instead of a PUBREC or PUBCOMP", b)
			}
			if _, err := c.in.Discard(pubackSize); err != nil {
				return batches, err
			}
		}
		if len(noted) == 0 {
			continue
		}
		if _, err := journal.Write(binary.BigEndian.AppendUint32(noted, 0)); err != nil {
			return batches, err
		}
		if err := syscall.Fdatasync(int(journal.Fd())); err != nil {
			return batches, err
		}
		batches = append(batches, int64(len(noted)))
	}
}
