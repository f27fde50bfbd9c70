package actors

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// System is where the actors of one runtime live: an actor system of its own or
// that of the host program, which is then neither configured nor shut down.
type System struct {
	actors  *actor.ActorSystem
	name    string
	restart restart
	workers *workers
}

// SystemOptions say where actors live. The zero value is an actor system of
// our own that logs nothing.
type SystemOptions struct {
	Host   *actor.ActorSystem // nil: one of our own
	Name   string             // what the actors' names begin with; "mqttdb" if empty. Two runtimes in one host need two
	Logger *slog.Logger       // nil: none

	// RestartAfter is the wait before the first restart of an actor that
	// failed; it doubles with each failure within a minute, up to RestartMax.
	// 10 ms and 5 s if 0.
	RestartAfter, RestartMax time.Duration
}

// NewSystem makes a System. There is nothing to close: its actors are stopped
// one by one.
func NewSystem(o SystemOptions) *System {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = "mqttdb"
	}
	if o.RestartAfter == 0 {
		o.RestartAfter = 10 * time.Millisecond
	}
	if o.RestartMax == 0 {
		o.RestartMax = 5 * time.Second
	}
	if o.Host == nil {
		quiet := slog.New(warnings{o.Logger.Handler()})
		o.Host = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
		shrink(o.Host.ProcessRegistry.LocalPIDs)
	}
	return &System{o.Host, o.Name, restart{log: o.Logger, first: o.RestartAfter, max: o.RestartMax}, newWorkers()}
}

// registryBuckets is how many of protoactor's 1,024 we keep. It must be one: on 32-bit
// machines protoactor takes the remainder of a hash that may be negative there, and
// ends the program with an index out of range; that of 1 is always 0. A bucket has 32
// locks, and each reference remembers what it found.
const registryBuckets = 1

// shrink gives back the room for very many actors that a new actor system
// makes: 33,000 maps in 5 MB, which each garbage collection goes through.
func shrink(registry *actor.SliceMap) {
	all := registry.LocalPIDs
	registry.LocalPIDs = slices.Clone(all[:registryBuckets])
	for _, bucket := range all {
		if bucket.IsEmpty() {
			continue // Items would start 32 goroutines to find that out
		}
		for id, process := range bucket.Items() {
			bucket.Remove(id)
			registry.GetBucket(id).Set(id, process)
		}
	}
}

// Running lists the names of our actors that run, in order: "mqttdb/cloud",
// "mqttdb/cloud/outgoing", …
func (s *System) Running() []string {
	var names []string
	for _, bucket := range s.actors.ProcessRegistry.LocalPIDs.LocalPIDs {
		for _, name := range bucket.Keys() {
			if strings.HasPrefix(name, s.name+"/") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// warnings passes on what is at least a warning: protoactor tells much else.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
