//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/cmd/native/child"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/httpapi/metrics"
	"github.com/mqttdb/mqttdb/listener"
	"github.com/mqttdb/mqttdb/types"
)

// A gateway takes no longer than that to stop: service managers and people grow
// impatient. Local clients get a part of it, so that a store that hangs leaves
// time for the rest.
const (
	stopTime   = 4 * time.Second
	intakeTime = 1500 * time.Millisecond
)

// source reads the configuration, checked as a gateway needs it, and says where
// from. It can be asked again.
type source func() (config.Config, string, error)

// running is a gateway that runs.
type running struct {
	db      *mqttdb.DB
	shared  *listener.Local // of the local broker and db
	local   *listener.Server
	web     *httpapi.Server
	metrics *metrics.Metrics
	log     *slog.Logger
	systemd systemd
	source  source
	memory  memory

	mu     sync.Mutex    // held while the configuration is read again
	config config.Config // the present one

	noted sync.Mutex
	last  *httpapi.Reload
}

// start starts a gateway as its source describes it.
func start(ctx context.Context, read source, out io.Writer, log *slog.Logger) (*running, error) {
	reserved := reserveMemory()
	cfg, from, err := read()
	if err != nil {
		return nil, err
	}
	g := &running{log: log, systemd: systemd{log}, source: read, config: cfg, shared: listener.NewLocal(log), metrics: metrics.New(version), memory: reserved}
	token, err := readToken(&cfg.HTTP)
	if err != nil {
		return nil, err
	}
	bound, err := bind(ctx, &cfg, log) // first: a port may be taken
	if err != nil {
		return nil, err
	}
	if g.db, err = mqttdb.Open(ctx, g.library(cfg)); err != nil {
		bound.close()
		return nil, err
	}
	if err := g.listen(ctx, bound, token, out); err != nil {
		bound.close()
		return nil, errors.Join(err, g.stop(context.WithoutCancel(ctx)))
	}
	fmt.Fprintf(out, "mqttdb %s: configuration from %s, data in %s\n", version, from, cfg.DataDir)
	fmt.Fprintf(out, "local MQTT at %s, status at %s://%s/ (or: mqttdb status)\n", join(g.local.Addrs()), scheme(&cfg.HTTP), g.web.Addr())
	if len(cfg.Connections) == 0 {
		fmt.Fprintln(out, "no connections are configured: messages only reach local subscribers; name a broker (mqttdb serve URL), or write a file (mqttdb init)")
	}
	return g, nil
}

// library is the part of cfg that the library runs.
func (g *running) library(cfg config.Config) mqttdb.Config {
	return mqttdb.Config{
		DataDir: cfg.DataDir, Connections: cfg.Connections, MaxMessageSize: cfg.MaxMessageSize,
		Local: g.shared, LocalQueue: cfg.Local, SessionExpiry: cfg.SessionExpiry, Logger: g.log,
		Latencies: g.metrics.Latencies,
	}
}

// listen starts the local broker and the HTTP API.
func (g *running) listen(ctx context.Context, bound *ports, token string, out io.Writer) (err error) {
	cfg := &g.config
	if err := g.listenLocally(ctx, bound.mqtt); err != nil {
		return err
	}
	warnOfToken(&cfg.HTTP, g.log)
	g.web, err = httpapi.Listen(ctx, api{g}, httpapi.Options{
		Listener: bound.http, TLS: bound.tls, Token: token, AllowedHosts: cfg.HTTP.AllowedHosts, MaxMessageSize: cfg.MaxMessageSize,
		Version: version, Logger: g.log, Metrics: g.metrics, Report: g.local.Report, Demo: demonstrated(out),
	})
	return err
}

// demonstrated passes on what is to be demonstrated to the process that has started
// this one for that; nil if none has.
func demonstrated(out io.Writer) func(string) error {
	if os.Getenv(child.Demonstrating) == "" {
		return nil
	}
	return func(verb string) error {
		_, err := fmt.Fprintln(out, child.DemoLine+verb)
		return err
	}
}

// run serves until ctx ends; a signal in hangups has the configuration read
// again.
func (g *running) run(ctx context.Context, hangups <-chan os.Signal) {
	var tending sync.WaitGroup
	defer tending.Wait()
	tending.Go(func() { g.memory.tend(ctx) })
	tending.Go(func() { g.systemd.watch(ctx, g.db.Alive) })
	g.systemd.ready(summary(g.db.Status()))
	tending.Go(func() { g.systemd.follow(ctx, g.db.Watch(ctx)) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_, _ = g.reload(ctx, "SIGHUP") // which is logged, and shown by the status
		}
	}
}

// stop ends what was started. What was not sent stays stored.
func (g *running) stop(ctx context.Context) error {
	g.systemd.stopping()
	started := time.Now()
	g.log.Info("stopping: no more messages are taken, what is in flight may finish")
	done, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	intake, cancelIntake := context.WithTimeout(done, intakeTime)
	defer cancelIntake()
	var errs []error
	stop := func(ctx context.Context, what string, f func(context.Context) error) {
		if err := f(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", what, err))
		}
	}
	if g.local != nil {
		stop(intake, "the local listener", g.local.Close)
	}
	stop(done, "the connections", g.db.Close)
	if g.web != nil {
		stop(done, "the HTTP API", g.web.Close)
	}
	g.log.Info("stopped", "took", time.Since(started).Round(time.Millisecond))
	return errors.Join(errs...)
}

// reload reads the configuration again and makes it count, or changes nothing.
func (g *running) reload(ctx context.Context, by string) (mqttdb.Reloaded, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.systemd.reloading()
	g.log.Info("reading the configuration again", "by", by)
	done, err := g.readAgain(ctx)
	outcome := &httpapi.Reload{At: time.Now(), Reloaded: done}
	status := summary(g.db.Status())
	if err != nil {
		outcome.Error = err.Error()
		status = "the configuration is wrong, nothing was changed: " + err.Error()
		g.log.Error("the configuration was not changed", "error", err)
	}
	g.noted.Lock()
	g.last = outcome
	g.noted.Unlock()
	g.web.Note(reloadEvent(by, outcome))
	g.systemd.ready(status)
	return done, err
}

// reloadEvent tells of a reload that somebody asked for.
func reloadEvent(by string, r *httpapi.Reload) httpapi.Event {
	if r.Error != "" {
		return httpapi.Event{Kind: httpapi.Reloaded, Text: "the configuration is wrong, nothing was changed: " + r.Error, Hint: "asked for by " + by}
	}
	text := "the configuration was read again"
	for _, what := range []struct {
		did   string
		names []string
	}{{"added", r.Added}, {"removed", r.Removed}, {"changed", r.Changed}} {
		if len(what.names) > 0 {
			text += ", " + what.did + " " + strings.Join(what.names, " ")
		}
	}
	return httpapi.Event{Kind: httpapi.Reloaded, Text: text, Hint: "asked for by " + by}
}

func (g *running) readAgain(ctx context.Context) (mqttdb.Reloaded, error) {
	cfg, _, err := g.source()
	if err != nil {
		return mqttdb.Reloaded{}, err
	}
	var refused []string
	changes := config.Compare(&g.config, &cfg)
	for _, c := range changes {
		if config.Within(c.Path, "mqtt") && !config.Within(c.Path, "mqtt.users") || config.Within(c.Path, "http") {
			refused = append(refused, c.Path)
		}
	}
	if len(refused) > 0 {
		return mqttdb.Reloaded{}, fmt.Errorf("%s: %w", strings.Join(refused, ", "), types.ErrNeedsRestart)
	}
	if err := listener.CheckUsers(users(&cfg.MQTT)); err != nil {
		return mqttdb.Reloaded{}, err
	}
	done, err := g.db.Reload(ctx, g.library(cfg))
	if err != nil {
		return done, err
	}
	if err := g.local.SetUsers(users(&cfg.MQTT)); err != nil {
		return done, err
	}
	g.config = cfg
	done.Settings = config.Paths(changes, slices.Concat(done.Added, done.Removed)...) // also those that the library does not know
	return done, nil
}

// lastReload is how the latest reload ended, nil if there was none.
func (g *running) lastReload() *httpapi.Reload {
	g.noted.Lock()
	defer g.noted.Unlock()
	return g.last
}
