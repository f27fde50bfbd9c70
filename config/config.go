package config

import (
	"slices"
	"time"
)

// Config is the whole configuration. Its zero value is valid: the local
// listener and the HTTP API on loopback, no connections.
type Config struct {
	// DataDir is where the queues are stored, as
	// <DataDir>/<connection>/{outgoing,incoming}. Default "./data".
	DataDir string `yaml:"data_dir,path"`

	MQTT MQTT `yaml:"mqtt"`

	// SessionExpiry is how long local persistent sessions, named consumers and
	// relay high-waters are kept for one that stays away. Default 168h.
	SessionExpiry time.Duration `yaml:"session_expiry,positive"`

	// Local is the queue of what local clients send each other.
	Local Local `yaml:"local"`

	HTTP HTTP `yaml:"http"`

	// MaxMessageSize is the largest payload that is taken, in bytes. Default
	// 4 MiB, at most 7 MiB.
	MaxMessageSize int64 `yaml:"max_message_size,size,positive"`

	// Connections are the brokers that messages go to and come from; a mapping
	// from name to connection in the file.
	Connections []Connection `yaml:"connections"`
}

// Local configures <DataDir>/_local, shown as _local in the status.
type Local struct {
	Sync               Sync          `yaml:"sync"`
	Limits             Limit         `yaml:"limits"`
	CompactionInterval time.Duration `yaml:"compaction_interval,positive"` // default 30s
	Window             int           `yaml:"window,positive"`              // messages in flight to each session; default 100
}

// Sizes and times of the defaults.
const (
	DefaultDataDir        = "./data"
	DefaultMaxMessageSize = 4 << 20
	LargestMessageSize    = 7 << 20 // a segment of the log is 8 MiB
	DefaultSessionExpiry  = 168 * time.Hour
	DefaultCompaction     = 30 * time.Second
	DefaultWindow         = 100
)

// Default returns the configuration that an empty file stands for.
func Default() Config {
	var c Config
	c.setDefaults()
	return c
}

// SetDefaultsAndValidate fills in the defaults and returns all that is wrong,
// joined, each a *Error, or nil. It may be called again, and changes nothing
// then. The slices that it changes are copied before, so that the caller's are
// left alone.
func (c *Config) SetDefaultsAndValidate() error {
	c.setDefaults()
	var p problems
	p.notYet(c)
	c.check(&p)
	return p.join()
}

func (c *Config) setDefaults() {
	defaultTo(&c.DataDir, DefaultDataDir)
	defaultTo(&c.SessionExpiry, DefaultSessionExpiry)
	defaultTo(&c.MaxMessageSize, DefaultMaxMessageSize)
	c.MQTT.setDefaults()
	c.HTTP.setDefaults()
	c.Local.setDefaults()
	c.Connections = slices.Clone(c.Connections)
	for i := range c.Connections {
		c.Connections[i].setDefaults()
	}
}

func (c *Config) check(p *problems) {
	p.text("data_dir", c.DataDir)
	p.duration("session_expiry", c.SessionExpiry, time.Minute, 10*365*24*time.Hour)
	p.size("max_message_size", c.MaxMessageSize, 1, LargestMessageSize)
	c.MQTT.check(p, "mqtt")
	c.HTTP.check(p, "http")
	c.checkSockets(p)
	c.Local.check(p, "local")
	checkNames(p, c.Connections)
	for i := range c.Connections {
		c.Connections[i].check(p, connectionPath(c.Connections, i))
	}
	checkClientIDs(p, c.Connections)
	checkRelays(p, c.Connections)
}

func (l *Local) setDefaults() {
	l.Limits.setDefaults(Limit{})
	defaultTo(&l.CompactionInterval, DefaultCompaction)
	defaultTo(&l.Window, DefaultWindow)
}

func (l *Local) check(p *problems, path string) {
	l.Sync.check(p, path+".sync")
	l.Limits.check(p, path+".limits")
	p.duration(path+".compaction_interval", l.CompactionInterval, time.Second, 24*time.Hour)
	p.number(path+".window", l.Window, 1, 1000)
}

// defaultTo sets *v to def if it has its zero value.
func defaultTo[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
