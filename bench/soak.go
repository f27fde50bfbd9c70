//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// burst is how many messages the rates of a soak are taken over, whatever is
// pending besides: so that they differ by what is pending, and nothing else.
const burst = 500_000

// soaked is what a gateway did with a number of messages pending.
type soaked struct {
	pending  int
	enqueue  float64 // messages/s of a burst on top of what is pending
	drain    float64 // messages/s of the first burst that leaves
	idle     float64 // bytes of memory when all has come and the log is compact
	reopened float64 // bytes of memory when it has started and is at rest
	most     float64 // bytes of memory at most until the drain was measured
	disk     float64 // bytes for each message
	first    time.Duration
}

// soak measures whether anything depends on how much is pending. Each size has a
// run with the smallest one before and behind it, to be compared with.
func soak(ctx context.Context, b *bench) error {
	const least = 10_000
	var small, runs []soaked
	measure := func(n int) (soaked, error) {
		s, err := b.soakWith(ctx, n)
		if err != nil {
			return s, fmt.Errorf("%d pending: %w", n, err)
		}
		fmt.Fprintf(os.Stderr, "  %s\n", s)
		return s, nil
	}
	s, err := measure(least)
	if err != nil {
		return err
	}
	small = append(small, s)
	for n := 10 * least; n <= b.soaked; n *= 10 {
		if s, err = measure(n); err != nil {
			return err
		}
		runs = append(runs, s)
		if s, err = measure(least); err != nil {
			return err
		}
		small = append(small, s)
	}
	var enqueue, drain sample // of the smallest size
	for _, s := range small {
		enqueue, drain = append(enqueue, s.enqueue), append(drain, s.drain)
	}
	for i, s := range runs {
		around := func(of func(soaked) float64) sample {
			return sample{of(s) / ((of(small[i]) + of(small[i+1])) / 2)}
		}
		b.report.add(row{
			what: fmt.Sprintf("enqueue with %d pending", s.pending), target: "as with 10000, ±20 %",
			measured: rate(s.enqueue), beside: fmt.Sprintf("with %d: %s", least, enqueue.text(rate)),
			held: around(func(s soaked) float64 { return s.enqueue }), least: 0.8, most: 1.2,
		})
		b.report.add(row{
			what: fmt.Sprintf("drain with %d pending", s.pending), target: "as with 10000, ±20 %",
			measured: rate(s.drain), beside: fmt.Sprintf("with %d: %s", least, drain.text(rate)),
			held: around(func(s soaked) float64 { return s.drain }), least: 0.8, most: 1.2,
		})
	}
	first, last := runs[0], runs[len(runs)-1]
	b.report.add(row{
		what: fmt.Sprintf("memory with %d pending, beyond that with %d", last.pending, first.pending), target: "RSS + 12 MB",
		measured: mib(last.idle - first.idle), held: sample{last.idle - first.idle}, most: 12e6,
	})
	b.report.add(row{
		what: "the same after a start", target: "RSS + 12 MB",
		measured: mib(last.reopened - first.reopened), held: sample{last.reopened - first.reopened}, most: 12e6,
	})
	b.report.add(row{
		what: fmt.Sprintf("start after kill -9 to the first message out, %d pending", last.pending), target: "< 2 s",
		measured: seconds(last.first.Seconds()), held: sample{last.first.Seconds()}, most: 2,
	})
	b.report.tables = append(b.report.tables, table(append(small[:1], runs...)))
	return nil
}

// String is what is shown while the others are still to come.
func (s soaked) String() string { return strings.Join(s.cells(), ", ") }

func (s soaked) cells() []string {
	return []string{
		fmt.Sprint(s.pending), rate(s.enqueue), rate(s.drain), mib(s.idle), mib(s.reopened), mib(s.most), bytes(s.disk), seconds(s.first.Seconds()),
	}
}

// table has a line for each run.
func table(runs []soaked) string {
	text := fmt.Sprintf("With so many pending, and %d more that the rates are taken over:\n\n", burst) +
		"| pending | enqueue | drain | RSS idle | RSS after a start | RSS at most since then | disk per message | first message out |\n|---|---|---|---|---|---|---|---|\n"
	for _, s := range runs {
		text += "| " + strings.Join(s.cells(), " | ") + " |\n"
	}
	return text
}

// soakWith has n messages pending in a gateway, and then a burst more.
func (b *bench) soakWith(ctx context.Context, n int) (s soaked, err error) {
	s.pending = n
	dir, err := os.MkdirTemp(b.dir, "soak")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	addr, err := freeAddr()
	if err != nil {
		return s, err
	}
	if err := b.soakFill(ctx, dir, addr, &s); err != nil {
		return s, fmt.Errorf("fill: %w", err)
	}
	if err := b.soakReopen(ctx, dir, addr, &s); err != nil {
		return s, fmt.Errorf("reopen: %w", err)
	}
	return s, b.soakDrain(ctx, dir, addr, &s)
}

// soakFill measures how fast a burst comes in behind what is pending, and what
// all of it takes when the gateway is at rest.
func (b *bench) soakFill(ctx context.Context, dir, broker string, s *soaked) error {
	g, err := startGateway(ctx, b.binary, dir, broker, often)
	if err != nil {
		return err
	}
	defer g.kill()
	if err := publishFirst(g.mqtt); err != nil {
		return err
	}
	if _, err := publishAll(g.mqtt, clients, 20, upTo(s.pending-1)); err != nil {
		return err
	}
	began := time.Now()
	n, err := publishAll(g.mqtt, clients, 20, upTo(burst))
	if err != nil {
		return err
	}
	s.enqueue = float64(n) / time.Since(began).Seconds()
	filled := time.Now()
	if err := g.await(ctx, func(q types.QueueStatus) bool {
		return q.LastCompaction != nil && q.LastCompaction.After(filled)
	}); err != nil {
		return err
	}
	if err := rest(ctx); err != nil {
		return err
	}
	used, err := diskUsage(g.queueDir())
	if err != nil {
		return err
	}
	s.disk = used / float64(s.pending+burst)
	s.idle, err = memory(g.pid(), "VmRSS")
	return err
}

// soakReopen measures the memory of a gateway that has opened what is pending
// and has nothing to do.
func (b *bench) soakReopen(ctx context.Context, dir, broker string, s *soaked) error {
	g, err := startGateway(ctx, b.binary, dir, broker, often)
	if err != nil {
		return err
	}
	defer g.kill()
	if err := rest(ctx); err != nil {
		return err
	}
	s.reopened, err = memory(g.pid(), "VmRSS")
	return err
}

// soakDrain measures how soon after a start the first message leaves, and how
// fast the first burst does.
func (b *bench) soakDrain(ctx context.Context, dir, addr string, s *soaked) error {
	broker, err := startMosquitto(ctx, dir, addr)
	if err != nil {
		return err
	}
	defer broker.stop()
	subscriber, err := connect(addr, "bench-subscriber")
	if err != nil {
		return err
	}
	defer subscriber.conn.Close()
	if err := subscriber.subscribe(firstTopic); err != nil {
		return err
	}
	if err := subscriber.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	began := time.Now()
	g, err := startGateway(ctx, b.binary, dir, addr, often)
	if err != nil {
		return err
	}
	defer g.kill()
	if err := subscriber.awaitPublish(); err != nil {
		return err
	}
	leaving := time.Now()
	s.first = leaving.Sub(began)
	left := 0
	if err := g.await(ctx, func(q types.QueueStatus) bool {
		left = s.pending + burst - int(q.Pending)
		return left >= burst
	}); err != nil {
		return err
	}
	s.drain = float64(left) / time.Since(leaving).Seconds()
	s.most, err = memory(g.pid(), "VmHWM")
	return err
}
