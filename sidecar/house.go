package sidecar

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Engine is a runtime of one data directory, and how it is changed.
type Engine struct {
	*runtime.Runtime
	Reload func(ctx context.Context, c config.Config) (runtime.Reloaded, error)
}

// Hooks are what an Engine asks while it runs.
type Hooks struct {
	TLS      func(connection string, c *tls.Config) error // see mqttdb.Hooks
	Paused   func(connection string) bool                 // see runtime.Options, as the next
	Buffered func(connection string) bool
}

// house is a data directory with its runtime, and the brokers that are open in it.
type house struct {
	dir     string
	engine  Engine
	log     *slog.Logger
	changed func() // what its brokers are to clients has changed; must not block

	change chan struct{} // holds a token while nobody changes which brokers there are

	mu      sync.Mutex
	over    bool
	brokers map[string]*broker
	plans   map[string]*plan // of those that are there, or are about to be
}

// broker is one that is open. Its plan is replaced by whoever changes the house.
type broker struct {
	id     string
	users  map[*client]bool
	linger *time.Timer // runs while there are no users; nil: it does not
	turn   int         // counts how often it was left
	old    Imported    // of the nodes before mqttdb
}

// maxMessage is the largest payload, in bytes. What MQTT allows beyond that no
// segment of the log has room for.
const maxMessage = config.LargestMessageSize

// openHouse starts a runtime in dir, with no brokers.
func openHouse(ctx context.Context, dir string, open OpenEngine, log *slog.Logger, changed func()) (*house, error) {
	h := &house{dir: dir, log: log, changed: changed, change: make(chan struct{}, 1), brokers: make(map[string]*broker), plans: make(map[string]*plan)}
	h.change <- struct{}{}
	var err error
	h.engine, err = open(ctx, h.config(nil), Hooks{
		TLS: h.tls, Paused: h.paused,
		Buffered: func(string) bool { return true }, // a consumer misses nothing
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// OpenEngine starts a runtime.
type OpenEngine func(ctx context.Context, c config.Config, h Hooks) (Engine, error)

// config is a configuration with these brokers.
func (h *house) config(list map[string]*plan) config.Config {
	c := config.Config{DataDir: h.dir, MaxMessageSize: maxMessage}
	for _, id := range sortedKeys(list) {
		c.Connections = append(c.Connections, list[id].connection)
	}
	return c
}

// tls gives what a broker is reached with.
func (h *house) tls(connection string, c *tls.Config) error {
	h.mu.Lock()
	p := h.plans[connection]
	h.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.tls.apply(c)
}

func (h *house) paused(connection string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.plans[connection]
	return p != nil && p.paused
}

// begin waits for the turn to change which brokers there are.
func (h *house) begin(ctx context.Context) error {
	select {
	case <-h.change:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *house) end() { h.change <- struct{}{} }

// open makes the broker what p says and attaches c to it.
func (h *house) open(ctx context.Context, c *client, id string, p *plan) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	defer h.end()
	if h.keep(c, id, p) {
		return nil
	}
	h.mu.Lock()
	before, b := h.plans[id], h.brokers[id]
	h.mu.Unlock()
	if before != nil && before.renewed(p) {
		if err := h.reload(ctx, id, nil); err != nil {
			return err
		}
	}
	if err := h.reloadInUse(ctx, id, p); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return types.ErrClosed
	}
	if b == nil {
		b = &broker{id: id, users: make(map[*client]bool)}
	}
	h.brokers[id] = b
	h.attach(b, c)
	return nil
}

// keep attaches c to a broker that is there and as p says already.
func (h *house) keep(c *client, id string, p *plan) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[id]
	if b == nil || h.over || !h.plans[id].same(p) || h.engine.Connection(id) == nil {
		return false
	}
	h.attach(b, c)
	return true
}

// attach is called with the lock.
func (h *house) attach(b *broker, c *client) {
	b.users[c] = true
	b.turn++
	h.changed()
	if b.linger != nil {
		b.linger.Stop()
		b.linger = nil
	}
}

// inUsePatience is how long OPEN waits for a directory: a sidecar that was there
// before may be just about to end.
const (
	inUsePatience = 5 * time.Second
	inUsePause    = 250 * time.Millisecond
)

func (h *house) reloadInUse(ctx context.Context, id string, p *plan) error {
	for until := time.Now().Add(inUsePatience); ; {
		err := h.reload(ctx, id, p)
		if !errors.Is(err, types.ErrInUse) || time.Now().After(until) {
			return err
		}
		pause := time.NewTimer(inUsePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// reload makes a broker what p says; nil ends it. Whoever calls it has the turn.
func (h *house) reload(ctx context.Context, id string, p *plan) error {
	h.mu.Lock()
	before, had := h.plans[id]
	if p == nil {
		delete(h.plans, id)
	} else {
		h.plans[id] = p
	}
	next := h.config(h.plans)
	h.mu.Unlock()
	_, err := h.engine.Reload(ctx, next)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && had:
		h.plans[id] = before
	case err != nil:
		delete(h.plans, id)
	case p == nil:
		delete(h.brokers, id)
	}
	if err != nil {
		return fmt.Errorf("open broker %s: %w", id, err)
	}
	return nil
}

// batch is how much of a broker may be stored at once: no more than its queue has room
// for, for what is too large for that is taken when the queue is empty.
func (h *house) batch(id string) (messages, bytes int) {
	messages, bytes = batchMessages, batchBytes
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.plans[id]; p != nil {
		if n := p.connection.Limits.MaxMessages; n > 0 {
			messages = min(messages, n)
		}
		if n := p.connection.Limits.MaxBytes; n > 0 {
			bytes = int(min(int64(bytes), n/2+1))
		}
	}
	return messages, bytes
}

// leave detaches c from a broker, which ends after linger unless somebody comes.
func (h *house) leave(c *client, id string, linger time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[id]
	if b == nil || !b.users[c] {
		return
	}
	delete(b.users, c)
	h.changed()
	if len(b.users) > 0 || h.over {
		return
	}
	b.turn++
	turn := b.turn
	b.linger = time.AfterFunc(linger, func() { h.expire(id, turn) })
}

// expire ends a broker, if nobody has come to it since.
func (h *house) expire(id string, turn int) {
	if h.begin(context.Background()) != nil {
		return
	}
	defer h.end()
	h.mu.Lock()
	b := h.brokers[id]
	gone := b == nil || b.turn != turn || h.over
	h.mu.Unlock()
	if gone {
		return
	}
	if err := h.reload(context.Background(), id, nil); err != nil && !errors.Is(err, types.ErrClosed) {
		h.log.Error("a broker that nobody uses could not be closed", "conn", id, "error", err)
	}
}

// shut ends a broker for c now, if nobody else has it.
func (h *house) shut(ctx context.Context, c *client, id string) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	defer h.end()
	h.mu.Lock()
	b := h.brokers[id]
	if b != nil {
		delete(b.users, c)
		b.turn++
		if b.linger != nil {
			b.linger.Stop()
		}
	}
	gone := b == nil || len(b.users) > 0
	h.mu.Unlock()
	if gone {
		return nil
	}
	return h.reload(ctx, id, nil)
}

// has says whether c has the broker open.
func (h *house) has(c *client, id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[id]
	return b != nil && b.users[c]
}

// close ends the runtime.
func (h *house) close(ctx context.Context) error {
	h.mu.Lock()
	h.over = true
	for _, b := range h.brokers {
		if b.linger != nil {
			b.linger.Stop()
		}
	}
	h.mu.Unlock()
	return h.engine.Close(ctx)
}

// imported counts what the nodes before mqttdb have left.
func (h *house) imported(id string, did Imported) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.brokers[id]; b != nil {
		b.old.plus(did)
	}
	h.changed()
}
