//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// plan is how much of each is measured.
type plan struct {
	rounds   int           // in which the contenders take turns to enqueue
	length   time.Duration // of one of them
	backlogs [3]int        // messages; the last one waits through a crash
	filling  time.Duration // at most
	draining time.Duration // at most
	rest     time.Duration // before memory is looked at
	singles  int           // messages that pass through one by one
	crash    int           // messages that are acknowledged before a crash
	settling time.Duration // at most, behind a crash; and for the first message there
	still    time.Duration // without a message, until it is over
}

func (b *bench) plan() plan {
	if b.short {
		return plan{rounds: 1, length: 300 * time.Millisecond, backlogs: [3]int{1000, 5000, 10_000}, filling: time.Second,
			draining: time.Second, rest: 200 * time.Millisecond, singles: 20, crash: 300, settling: 5 * time.Second, still: time.Second}
	}
	return plan{rounds: 3, length: time.Second, backlogs: [3]int{10_000, 100_000, b.backlog}, filling: 20 * time.Second,
		draining: 15 * time.Second, rest: 5 * time.Second, singles: 500, crash: 2000, settling: 20 * time.Second, still: 5 * time.Second}
}

// pace is how a contender is given messages.
type pace struct{ producers, window int }

var paces = [3]pace{{1, 1}, {clients, 1}, {clients, 20}}

func (p pace) String() string {
	if p.producers == 1 {
		return "1 producer"
	}
	return fmt.Sprintf("%d producers, window %d", p.producers, p.window)
}

// standing is what a contender did.
type standing struct {
	contender
	starter

	paces    [3]paced
	through  protocol.Latencies
	busy     float64 // messages/s out while as many as possible come in
	empty    float64 // bytes of memory, nothing pending
	backlogs [3]backlog
	crashes  []crash
	troubles []string // what could not be measured, and why
}

// paced is what enqueuing at a pace took.
type paced struct{ rate, p50, p99, cpu, flushes sample }

// trouble notes why something was not measured. Only the end of the run is the
// run's own.
func (s *standing) trouble(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.troubles = append(s.troubles, fmt.Sprintf("%s: %v", what, err))
	fmt.Fprintf(os.Stderr, "  %s: %s: %v\n", s.name, what, err)
	return nil
}

// compare measures all contenders with the same work. A run that is interrupted
// prints what it has, and saves nothing.
func compare(ctx context.Context, b *bench) error {
	c := &comparison{plan: b.plan()}
	failed := b.measureContenders(ctx, c)
	if failed != nil && len(c.standings) == 0 {
		return failed
	}
	r := &report{machine: b.report.machine, rounds: c.rounds, backlog: c.backlogs[2]}
	c.report(r)
	if failed != nil {
		r.note(fmt.Sprintf("This run was not finished (%v): what is missing was not measured.", failed))
	}
	fmt.Print(r.markdown())
	if failed != nil || b.short || b.contenders != "" {
		return failed
	}
	if err := r.save(b.results, "-contenders"); err != nil {
		return err
	}
	return os.WriteFile(r.file(b.results, "-contenders", ".svg"), []byte(c.chart(r.machine)), 0o644)
}

// measureContenders fills c.
func (b *bench) measureContenders(ctx context.Context, c *comparison) error {
	chosen, err := chooseContenders(b.contenders)
	if err != nil {
		return err
	}
	for _, one := range chosen {
		s := &standing{contender: one}
		starter, err := one.prepare(ctx, b)
		if err := s.trouble(ctx, "it could not run", err); err != nil {
			return err
		}
		s.starter = starter
		c.standings = append(c.standings, s)
	}
	if c.sync, err = bareSyncs(b.dir, 1000); err != nil {
		return err
	}
	for range c.rounds {
		for _, s := range c.running() {
			for i, pace := range paces {
				if err := s.trouble(ctx, pace.String(), b.measurePace(ctx, c.plan, s, i)); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range c.running() {
		fmt.Fprintf(os.Stderr, "  %s\n", s.name)
		if err := b.measureRest(ctx, c, s); err != nil {
			return err
		}
	}
	return nil
}

// chooseContenders returns those that are asked for, all of them if nobody is.
func chooseContenders(names string) (chosen []contender, err error) {
	if names == "" {
		return contenders, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no contender %q, but %s", name, contenderNames())
		}
		chosen = append(chosen, contenders[i])
	}
	return chosen, nil
}

func contenderNames() string {
	var names []string
	for _, c := range contenders {
		names = append(names, c.name)
	}
	return strings.Join(names, ",")
}

// comparison is what a run found about the contenders.
type comparison struct {
	plan
	standings []*standing

	sync      protocol.Latencies // of a bare append with fdatasync
	mosquitto protocol.Latencies // of a message that passes the broker alone
	bare      sample             // messages/s of a bare publisher to the same broker
}

// running are those that run.
func (c *comparison) running() []*standing {
	return slices.DeleteFunc(slices.Clone(c.standings), func(s *standing) bool { return s.start == nil })
}

// measurePace lets a contender without a broker store for a while what comes at
// the i-th pace.
func (b *bench) measurePace(ctx context.Context, p plan, s *standing, i int) (err error) {
	dir, err := os.MkdirTemp(b.dir, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	running, err := s.begin(ctx, dir, nobody)
	if err != nil {
		return err
	}
	defer running.kill()
	ctx, cancel := context.WithTimeout(ctx, p.length+30*time.Second)
	defer cancel()
	before, err := processCPU(running.pid())
	if err != nil {
		return err
	}
	flushed, _ := flushes(dir)
	a, err := running.enqueue(ctx, protocol.Order{Producers: paces[i].producers, Window: paces[i].window, Seconds: p.length.Seconds()})
	if err != nil {
		return err
	}
	flushedThen, ok := flushes(dir)
	after, err := processCPU(running.pid())
	if err != nil {
		return err
	}
	if a.Stored == 0 {
		return errors.New("nothing was stored")
	}
	r, n := &s.paces[i], float64(a.Stored)
	r.rate, r.p50, r.p99 = append(r.rate, n/a.Seconds), append(r.p50, a.P50), append(r.p99, a.P99)
	r.cpu = append(r.cpu, float64((after-before).Microseconds())/n)
	if ok {
		r.flushes = append(r.flushes, float64(flushedThen-flushed)*1000/n)
	}
	return nil
}

// begin starts a contender, which may take a minute.
func (s *standing) begin(ctx context.Context, dir, broker string) (product, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return s.start(ctx, dir, broker)
}

// measureRest measures what contenders do one after the other.
func (b *bench) measureRest(ctx context.Context, c *comparison, s *standing) error {
	dir, err := os.MkdirTemp(b.dir, "upstream")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	u, err := newUpstream(ctx, dir)
	if err != nil {
		return err
	}
	defer u.stop()
	bare, err := u.bare(ctx, c.backlogs[1], window)
	if err != nil {
		return fmt.Errorf("bare publisher: %w", err)
	}
	c.bare = append(c.bare, bare)
	own, err := u.singles(ctx, c.singles, func(context.Context) (func(uint64) error, func() error, error) { return singlePublisher(u.addr) })
	if err != nil {
		return fmt.Errorf("mosquitto alone: %w", err)
	}
	c.mosquitto = append(c.mosquitto, own...)
	if err := s.trouble(ctx, "passing through", b.measureThrough(ctx, c.plan, u, s)); err != nil {
		return err
	}
	if err := s.trouble(ctx, "sending while storing", b.measureBusy(ctx, c.plan, u, s)); err != nil {
		return err
	}
	for i, n := range c.backlogs {
		if err := s.trouble(ctx, fmt.Sprintf("%d pending", n), b.measureBacklog(ctx, c.plan, u, s, i)); err != nil {
			return err
		}
	}
	for _, there := range []bool{false, true} {
		if err := s.trouble(ctx, "crash", b.measureCrash(ctx, c.plan, u, s, there)); err != nil {
			return err
		}
	}
	return nil
}
