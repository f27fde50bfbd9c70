package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Reloaded says what a Reload did, by the names of connections, each list in
// order. What is in none of them was not touched.
type Reloaded struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"` // those with messages became orphans
	Changed []string `json:"changed"`

	// Settings are the paths of what else changed, and of what did in the
	// connections of Changed.
	Settings []string `json:"settings"`
}

// reload keeps one Reload from meeting another, or the end.
type reload struct {
	turn   chan struct{} // holds a token while nobody changes anything
	config config.Config // the present one; whoever has the token may use it

	mu   sync.Mutex
	gone []*Connection // removed, perhaps not stopped yet
}

func (r *reload) init(cfg config.Config) {
	r.config = cfg
	r.turn = make(chan struct{}, 1)
	r.turn <- struct{}{}
}

// begin waits for the turn.
func (rt *Runtime) beginReload(ctx context.Context) error {
	select {
	case <-rt.ending:
		return types.ErrClosed
	default:
	}
	select {
	case <-rt.reload.turn:
		return nil
	case <-rt.ending:
		return types.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for another reload to end: %w", ctx.Err())
	}
}

// end lets the one under way end, as long as ctx allows; none begins any more.
func (r *reload) end(ctx context.Context) {
	select {
	case <-r.turn:
	case <-ctx.Done():
	}
}

// leaving lists the connections that were removed and may still be at work.
func (r *reload) leaving() []*Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.gone)
}

func (r *reload) leave(c *Connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = slices.DeleteFunc(r.gone, func(c *Connection) bool {
		for _, q := range c.queues() {
			select {
			case <-q.Gone():
			default:
				return false
			}
		}
		return true
	})
	r.gone = append(r.gone, c)
}

// Reload makes the runtime what cfg, which need not have its defaults, describes:
// connections are added and removed, the others get their new settings.
//
// All or nothing: an error says that nothing has changed. If cfg is not valid, asks for something that takes a restart
// (types.ErrNeedsRestart: data_dir, max_message_size, persist, sync), or if the
// store of a connection to add is not ours to open, it says so. Routes change for all connections at the same moment.
//
// A connection whose settings are the same is not touched. One whose routes
// changed keeps its link. For other changes what is in flight may finish, for at
// most two seconds or half of what ctx leaves; then the link is made anew. Queues
// go on all the time: nothing is lost, and at QoS 1 only what was in flight may
// arrive twice. A connection that is removed with messages pending becomes an
// orphan (see Status); one that comes back finds its messages. What is asked of a
// *Connection that was removed fails with types.ErrClosed.
//
// It returns when the links that had to end have ended and the new ones dial; but
// if ctx ends first it does not wait for that.
func (rt *Runtime) Reload(ctx context.Context, cfg config.Config) (Reloaded, error) {
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		return Reloaded{}, err
	}
	if err := rt.beginReload(ctx); err != nil {
		return Reloaded{}, fmt.Errorf("reload: %w", err)
	}
	p, err := rt.plan(&cfg)
	if err == nil {
		err = rt.openAdded(ctx, p)
	}
	if err != nil {
		rt.reload.turn <- struct{}{}
		return Reloaded{}, err
	}
	within := finishTime
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)/2)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rt.carryOut(p, within)
		rt.reload.config = cfg
		rt.reload.turn <- struct{}{}
	}()
	select {
	case <-done:
	case <-ctx.Done(): // it goes on
	}
	return p.result, nil
}

// finishTime is how long what is in flight may take when a link is replaced.
const finishTime = 2 * time.Second

// plan is what a Reload is going to do.
type plan struct {
	next    *lineup
	added   []change
	changed []change
	removed []*Connection
	all     []config.Connection
	local   config.Local
	result  Reloaded
}

// change is a connection that is added, or gets new settings.
type change struct {
	*Connection
	settings *settings
	brokers  []actors.Broker // of the new link; nil: the link stays
	told     bool            // the actors are to be told
}

// plan finds out what leads from the present configuration to cfg. It changes
// nothing.
func (rt *Runtime) plan(cfg *config.Config) (*plan, error) {
	differences := make(map[string][]config.Change)
	changes := config.Compare(&rt.reload.config, cfg)
	for _, d := range changes {
		differences[d.Connection] = append(differences[d.Connection], d)
	}
	now := rt.lineup.Load()
	p := &plan{next: newLineup(), all: cfg.Connections, local: cfg.Local, result: Reloaded{Added: []string{}, Removed: []string{}, Changed: []string{}}}
	refused := refuse(nil, differences[""])
	for _, conn := range cfg.Connections {
		c := change{Connection: now.named(conn.Name), settings: newSettings(conn)}
		if c.Connection != nil {
			refused = refuse(refused, differences[conn.Name])
		}
		if err := rt.need(&c, differences[conn.Name]); err != nil {
			return nil, err
		}
		switch {
		case c.Connection == nil:
			c.Connection = rt.newConnection(conn.Name)
			p.added = append(p.added, c)
			p.result.Added = append(p.result.Added, conn.Name)
		case len(differences[conn.Name]) > 0:
			p.result.Changed = append(p.result.Changed, conn.Name)
			p.changed = append(p.changed, c)
		default:
			p.changed = append(p.changed, c) // functions may be others
		}
		p.next.add(c.Connection, c.settings)
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("%s: %w", strings.Join(refused, ", "), types.ErrNeedsRestart)
	}
	for _, c := range now.connections() {
		if p.next.named(c.name) == nil {
			p.removed = append(p.removed, c)
			p.result.Removed = append(p.result.Removed, c.name)
		}
	}
	for _, list := range [][]string{p.result.Added, p.result.Removed, p.result.Changed} {
		slices.Sort(list)
	}
	p.result.Settings = config.Paths(changes, slices.Concat(p.result.Added, p.result.Removed)...)
	return p, nil
}

// refuse adds to refused what of differences takes a restart.
func refuse(refused []string, differences []config.Change) []string {
	for _, d := range differences {
		if e, _ := effectOf(d.Pattern); e == byRestart {
			refused = append(refused, d.Path)
		}
	}
	return refused
}

// need finds out what c needs for its differences to count.
func (rt *Runtime) need(c *change, differences []config.Change) error {
	link := c.Connection == nil
	for _, d := range differences {
		switch e, _ := effectOf(d.Pattern); e {
		case byLink:
			link = true
		case byWord:
			c.told = true
		}
	}
	if !link {
		return nil
	}
	var err error
	if c.brokers, err = rt.brokers(c.settings.Connection); err != nil {
		return fmt.Errorf("connections.%s: %w", c.settings.Name, err)
	}
	return nil
}

// openAdded starts the queues of the connections that are added, or none.
func (rt *Runtime) openAdded(ctx context.Context, p *plan) error {
	for i, c := range p.added {
		err := c.startQueues(ctx, c.settings, p.all)
		if err == nil {
			continue
		}
		err = fmt.Errorf("start connection %s: %w", c.name, err)
		for _, started := range p.added[:i+1] {
			if started.queue != nil {
				rt.reload.leave(started.Connection)
				err = errors.Join(err, started.stop(ctx, 0))
			}
		}
		return err
	}
	return nil
}

// carryOut does what p says. Nothing can keep it from that any more: what goes
// wrong with the end of something old is logged.
func (rt *Runtime) carryOut(p *plan, within time.Duration) {
	for _, o := range rt.lineup.Load().orphans {
		owner, direction, isQueue := strings.Cut(o.Name, "/")
		if c := p.next.named(owner); c == nil || isQueue && !c.stores(direction) {
			p.next.orphans = append(p.next.orphans, o)
		}
	}
	for _, c := range p.removed {
		rt.reload.leave(c)
	}
	for _, c := range p.changed {
		c.current.Store(c.settings)
	}
	rt.replace(p.next)
	var wg sync.WaitGroup
	for _, c := range p.next.members {
		c.refilter() // what is configured now need not be asked for by programs
		wg.Go(func() { rt.reported(c.Connection, c.reestablish(p.all)) })
	}
	for _, c := range p.removed {
		c.queue.Tell(actors.Note{Ended: c.queue.OpenSources()}) // how they end it does not learn
		wg.Go(func() { rt.reported(c, c.stop(context.Background(), within)) })
	}
	for _, c := range p.changed {
		if c.told {
			c.tell(c.settings)
		}
		if c.brokers != nil {
			old := c.wire.present()
			wg.Go(func() { rt.reported(c.Connection, old.finish(context.Background(), within)) })
		}
	}
	if q := rt.local.queue; q != nil {
		q.Tell(localQueue(p.local))
	}
	wg.Wait() // first all of them: a new link may have the client id of an old one
	unused, err := rt.lookIntoUnused(context.Background(), nil, func(owner string) bool {
		return slices.ContainsFunc(p.added, func(c change) bool { return c.name == owner })
	})
	if err != nil {
		rt.o.Logger.Error("a reload was carried out, but not all went well", "error", err)
	}
	for _, c := range slices.Concat(p.changed, p.added) {
		if c.brokers != nil {
			rt.reported(c.Connection, c.needClientID(context.Background()))
			rt.reported(c.Connection, c.connect(c.brokers))
		}
	}
	rt.exile(p.removed, unused)
	rt.attend()
	rt.board.changed()
	rt.o.Logger.Info("reloaded", "added", p.result.Added, "removed", p.result.Removed, "changed", p.result.Changed, "settings", p.result.Settings)
}

// reported logs what went wrong when c was changed.
func (rt *Runtime) reported(c *Connection, err error) {
	if err != nil {
		rt.o.Logger.Error("a reload was carried out, but not all went well", "conn", c.name, "error", err)
	}
}

// exile makes orphans of the removed connections that have messages, beside others
// that were found.
func (rt *Runtime) exile(removed []*Connection, found []types.Status) {
	now := rt.lineup.Load()
	next := newLineup()
	next.members, next.orphans = now.members, slices.Concat(now.orphans, found)
	for _, c := range removed {
		for _, direction := range []string{"outgoing", "incoming"} {
			q := c.queue
			if direction == "incoming" {
				q = c.incoming.queue
			}
			if q == nil {
				continue
			}
			if s := q.State(); holds(s) {
				next.orphans = rt.orphan(next.orphans, c.name+"/"+direction, s)
			}
		}
	}
	rt.replace(next)
}
