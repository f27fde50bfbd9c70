package mqttdb

import (
	"context"
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// The vocabulary, see package types.
type (
	Message     = types.Message
	QoS         = types.QoS
	Seq         = types.Seq
	Status      = types.Status
	QueueStatus = types.QueueStatus
	State       = types.State
	Selection   = types.Selection
	QueueName   = types.QueueName
	Extract     = types.Extract
	Stored      = types.Stored
	StoreError  = types.StoreError

	// Latencies are told how long messages take in a queue.
	Latencies = types.Latencies

	// Compaction says what giving back disk space came to.
	Compaction = types.Compaction

	// Replay says what Connection.Replay sends again, and Replayed how much that was.
	Replay   = types.Replay
	Replayed = types.Replayed

	// ConsumerStatus describes a durable consumer of an incoming queue.
	ConsumerStatus = types.ConsumerStatus
)

// The queues of a connection, see package types.
const (
	Outgoing    = types.Outgoing
	DeadLetters = types.DeadLetters

	Incoming     = types.Incoming
	IncomingDead = types.IncomingDead

	SentMessages = types.SentMessages
)

// Errors to act on, see package types.
var (
	ErrClosed            = types.ErrClosed
	ErrBusy              = types.ErrBusy
	ErrQueueFull         = types.ErrQueueFull
	ErrDiskFull          = types.ErrDiskFull
	ErrNotKept           = types.ErrNotKept
	ErrTooLarge          = types.ErrTooLarge
	ErrInvalidTopic      = types.ErrInvalidTopic
	ErrInvalidMessage    = types.ErrInvalidMessage
	ErrUnknownConnection = types.ErrUnknownConnection
	ErrUnknownQueue      = types.ErrUnknownQueue
	ErrUnknownMessage    = types.ErrUnknownMessage
	ErrInFlight          = types.ErrInFlight
	ErrNotDelivered      = types.ErrNotDelivered
	ErrInterrupted       = types.ErrInterrupted
	ErrInUse             = types.ErrInUse
	ErrNewerFormat       = types.ErrNewerFormat
	ErrNeedsRestart      = types.ErrNeedsRestart
)

// The states of a connection, see package types.
const (
	Offline    = types.Offline
	Connecting = types.Connecting
	Online     = types.Online
	Stalled    = types.Stalled
	Backoff    = types.Backoff
	Paused     = types.Paused
	Refused    = types.Refused
)

type (
	// ConnectionConfig configures a connection; its zero values are the
	// documented defaults.
	ConnectionConfig = config.Connection

	// Connection is a running connection.
	Connection = runtime.Connection

	// Publication is a message that was handed over.
	Publication = runtime.Publication

	// Subscription gets messages of a broker, as SubscribeOptions say; each is a
	// Delivery.
	Subscription     = runtime.Subscription
	SubscribeOptions = runtime.SubscribeOptions
	Delivery         = runtime.Delivery

	// Reloaded says what a Reload did.
	Reloaded = runtime.Reloaded

	// LocalBroker is the local broker of a gateway.
	LocalBroker = runtime.Local

	// ActorSystem is a protoactor-go actor system.
	ActorSystem = runtime.ActorSystem
)

// Config says what to run. Its zero value is valid: no connections, data in
// ./data.
type Config struct {
	DataDir        string             // "" means ./data
	Connections    []ConnectionConfig // their brokers need not be reachable
	MaxMessageSize int64              // bytes of payload; 0 means 4 MiB, 7 MiB at most

	// Local is a local broker, as in a gateway: what its persistent sessions have
	// not got yet and its retained messages are stored as "_local", as LocalQueue
	// says, and sessions whose client stays away are kept for SessionExpiry; 168h
	// if 0. nil: there is none.
	Local         LocalBroker
	LocalQueue    config.Local
	SessionExpiry time.Duration

	Logger *slog.Logger // nil: nothing is logged

	// Latencies is asked who is told how long messages take in a queue of a
	// connection, for a program with metrics of its own; what else there is to know
	// Status tells. nil: nobody.
	Latencies func(connection string, queue QueueName) Latencies

	// Paused is asked, when a connection is started, whether that is not to dial before
	// Resume. nil: none.
	Paused func(connection string) bool

	// Buffered is asked, when a connection is started that does not persist what its
	// broker sends, whether that is kept in memory, 64 MiB of it if max_bytes does not say
	// otherwise, for named subscriptions: they miss nothing while the program runs. nil:
	// of none.
	Buffered func(connection string) bool

	// System runs the actors in the host's actor system instead of one of their
	// own; Close leaves it running. SystemName is what their names begin with,
	// "mqttdb" if empty: two DBs in one system need two.
	System     *ActorSystem
	SystemName string

	// Store keeps the durable queues instead of NutsDB in DataDir. Close closes
	// it.
	Store persistence.Store

	Hooks
}

// DB is a running mqttdb. It may be used concurrently.
type DB struct {
	*runtime.Runtime
	policies *policies
}

// Open starts the connections of c. It returns an error if c is invalid or a
// store cannot be opened: errors wrap ErrInUse and ErrNewerFormat where those
// apply, and a config.Error says which field is wrong.
func Open(ctx context.Context, c Config) (*DB, error) {
	cfg := c.config()
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		return nil, err
	}
	p := newPolicies(cfg)
	o, err := options(c, cfg, p)
	if err != nil {
		return nil, err
	}
	rt, err := runtime.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &DB{rt, p}, nil
}

// config is the part of c that can be written in a file.
func (c *Config) config() config.Config {
	return config.Config{
		DataDir: c.DataDir, Connections: c.Connections, MaxMessageSize: c.MaxMessageSize,
		Local: c.LocalQueue, SessionExpiry: c.SessionExpiry,
	}
}

// Reload changes what runs to what c describes: it adds and removes connections,
// and gives the others their new settings, all or nothing. See
// runtime.Runtime.Reload for what is promised; what cannot change while the
// program runs is refused with ErrNeedsRestart. Local, Logger, System, SystemName,
// Store and Hooks stay as they were at Open.
func (db *DB) Reload(ctx context.Context, c Config) (Reloaded, error) {
	cfg := c.config()
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		return Reloaded{}, err
	}
	for _, conn := range cfg.Connections {
		if db.Connection(conn.Name) == nil {
			db.policies.set(conn)
		}
	}
	done, err := db.Runtime.Reload(ctx, cfg)
	if err == nil {
		db.policies.setLeast(cfg)
	}
	return done, err
}
