//go:build linux

package main

import (
	"context"
	"errors"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// contender is what a user would pick.
type contender struct {
	name     string // short, as -contenders takes it
	what     string // its row in the tables
	promises string // what its acknowledgement means
	synced   bool   // it is on disk by then, and survives the loss of power
	ours     bool

	// prepare builds or installs what the contender needs and returns how it is
	// started. Its error says why it cannot run here.
	prepare func(context.Context, *bench) (starter, error)
}

// starter runs a contender.
type starter struct {
	version string // of it and of what matters to it

	// start opens what is in dir and connects to broker, host:port, in the
	// background: it need not be there.
	start func(ctx context.Context, dir, broker string) (product, error)
}

// product is a contender that runs.
type product interface {
	// enqueue carries out an order; see protocol.Order.
	enqueue(ctx context.Context, o protocol.Order) (protocol.Answer, error)

	// single returns a function that hands one message of producer 0 over and waits
	// until it is stored, and one to be called at the end.
	single(ctx context.Context) (publish func(number uint64) error, leave func() error, err error)

	// pid is that of the process that does all the work of the contender. For a
	// library that includes its producers.
	pid() int

	// ended is closed when it has ended by itself; nil if that is not watched.
	ended() <-chan struct{}

	// kill ends it as a crash would, close in good order. Both wait until it is
	// gone; kill may follow on close.
	kill()
	close(ctx context.Context) error
}

// errEnded means that a contender has ended by itself.
var errEnded = errors.New("its process has ended")

// whileRunning is ctx until the contender ends by itself: then its cause is errEnded.
func whileRunning(ctx context.Context, running product) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-running.ended():
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// contenders are all of them, in the order of the tables. One that is a library
// has a driver, see package protocol.
var contenders = []contender{
	{
		name: "gateway", what: "this gateway", ours: true, synced: true, prepare: prepareGateway,
		promises: "written and synced (fdatasync) before PUBACK",
	},
	{
		name: "library", what: "this library", ours: true, synced: true, prepare: goDriver("mqttdb", ""),
		promises: "written and synced (fdatasync) before Publish returns",
	},
	{
		name: "mosquitto", what: "mosquitto bridge, persistence on", prepare: bridgeOf(),
		promises: "in memory; on disk with the next autosave, every 1,800 s by default. Its default of 1,000 queued messages is lifted: what is beyond it is acknowledged and dropped",
	},
	{
		name: "autosave", what: "mosquitto bridge, autosave_on_changes", prepare: bridgeOf("autosave_interval 1", "autosave_on_changes true"),
		promises: "in memory; the whole database is written anew behind every other change",
	},
	{
		name: "autopaho", what: "autopaho, file queue, session in files", prepare: goDriver("autopaho", "github.com/eclipse/paho.golang"),
		promises: "a file is written, and not synced",
	},
	{
		name: "filestore", what: "paho.mqtt.golang, FileStore", prepare: goDriver("filestore", "github.com/eclipse/paho.mqtt.golang"),
		promises: "a file is written and renamed, and not synced; at most 65,535 messages",
	},
	{
		name: "level", what: "mqtt.js, level store", prepare: nodeDriver("level.js", "mqtt", "mqtt-level-store"),
		promises: "in LevelDB's log, and not synced; what is beyond 65,535 overwrites messages that wait",
	},
	{
		name: "nedb", what: "mqtt.js, NeDB: the old nodes", prepare: nodeDriver("nedb.js", "mqtt-old", "mqtt-nedb-store", "nedb"),
		promises: "in memory, and a line is appended to a file, and not synced; what is beyond 65,535 overwrites messages that wait",
	},
}
