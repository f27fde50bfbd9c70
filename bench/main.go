//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run of this program.
type bench struct {
	dir     string        // for data, on the disk that is measured
	binary  string        // the gateway
	rounds  int           // turns of each contender
	length  time.Duration // of one measurement of a rate
	backlog int           // how many messages make a large backlog
	soaked  int           // how many make the largest of a soak
	report  *report

	short      bool
	results    string // folder of reports
	contenders string // names with commas between; "": all
}

// section measures something.
type section struct {
	name string
	run  func(context.Context, *bench) error

	apart bool // it runs when it is asked for by name, and has a report of its own
}

var sections = []section{
	{name: "library", run: library},
	{name: "slow", run: slowDisk},
	{name: "sidecar", run: throughSidecar},
	{name: "listener", run: throughListener},
	{name: "drain", run: drain},
	{name: "exact", run: exact},
	{name: "stalled", run: stalledClients},
	{name: "watched", run: watched},
	{name: "idle", run: idle},
	{name: "contenders", run: compare},
	{name: "soak", run: soak, apart: true},
	{name: "wear", run: wear, apart: true},
	{name: "compacting", run: compacting, apart: true},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	short := flags.Bool("short", false, "few and short rounds, a smaller backlog: about three minutes")
	only := flags.String("only", "", "the sections to run, with commas between: "+strings.Join(names(), ","))
	rounds := flags.Int("rounds", 7, "turns of each contender; half as many with backlogs")
	soaked := flags.Int("soak", 10_000_000, "the most messages that are pending in the section soak")
	who := flags.String("contenders", "", "the contenders to run, with commas between: "+contenderNames())
	dir := flags.String("dir", ".cache/bench", "where the data goes: on the disk to be measured")
	results := flags.String("results", "bench/results", "the folder of the report")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := &bench{
		rounds: max(*rounds, 1), length: time.Second, backlog: 1_000_000, soaked: *soaked,
		short: *short, results: *results, contenders: *who,
	}
	if *short {
		b.rounds, b.backlog = min(b.rounds, 2), 100_000
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if b.dir, err = workspace(*dir); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.binary, err = build(ctx, b.dir); err != nil {
		return err
	}
	b.report = &report{machine: describeMachine(ctx, b.dir), rounds: b.rounds, backlog: b.backlog}
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "bench: %s\n", s.name)
		if err := s.run(ctx, b); err != nil {
			if !b.report.empty() { // what there is, of this section and those before it
				fmt.Print(b.report.markdown())
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if b.report.empty() {
		return nil
	}
	fmt.Print(b.report.markdown())
	switch {
	case *short:
		return nil
	case *only == "":
		return b.report.save(*results, "")
	case len(chosen) == 1 && chosen[0].apart:
		return b.report.save(*results, "-"+chosen[0].name)
	}
	return nil
}

func names() []string {
	var list []string
	for _, s := range sections {
		list = append(list, s.name)
	}
	return list
}

func choose(only string) ([]section, error) {
	var chosen []section
	if only == "" {
		for _, s := range sections {
			if !s.apart {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("there is no section %q, but %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

// workspace makes a folder of its own for this run.
func workspace(parent string) (string, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, "run")
	if err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// build builds the gateway as scripts/build.sh does.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "mqttdb")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o", binary, "./cmd/native")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway (run this from the root of the repository): %w: %s", err, out)
	}
	return binary, nil
}
