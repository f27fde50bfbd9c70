package config

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Connection is a broker, and how messages get there and back.
type Connection struct {
	// Name names the connection and its directory: lower-case letters, digits,
	// dots, dashes and underscores, at most 64.
	Name string `yaml:",name"`

	// Broker is the URL of the broker: mqtt://host, mqtts://host:8883,
	// ws://host/path or wss://host/path. Credentials do not belong in it. In
	// the file a list is a failover order: Broker, then Failover.
	Broker   string   `yaml:"broker"`
	Failover []string `yaml:"broker,tail"`

	Protocol Protocol `yaml:"protocol"`

	// ClientID is made once and stored when it is empty.
	ClientID string `yaml:"client_id"`

	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file,path"`

	// Password is for Go programs, instead of PasswordFile.
	Password Secret `yaml:"-"`

	// Credentials, if set, is asked before each attempt to connect, instead of
	// Username, Password and PasswordFile. ctx ends with the attempt.
	Credentials func(ctx context.Context) (username string, password Secret, err error) `yaml:"-"`

	TLS TLS `yaml:"tls"`

	// Proxy is the URL of an HTTP proxy, with user and password if it wants them.
	// "": for ws and wss that of the environment (HTTPS_PROXY, HTTP_PROXY,
	// NO_PROXY), for mqtt and mqtts none. DirectProxy: none.
	Proxy string `yaml:"proxy"`

	CleanSession  bool        `yaml:"clean_session"`
	SharedSession bool        `yaml:"shared_session"` // the brokers are one cluster
	SessionLost   SessionLost `yaml:"session_lost"`
	Bridge        bool        `yaml:"bridge"` // say so to the broker, which keeps the retain flag and suppresses echoes

	// KeepAlive is how often the link is probed when it is idle, in whole
	// seconds [MQTT-3.1.2.10]. Default 30s.
	KeepAlive time.Duration `yaml:"keep_alive,positive"`

	// StallTimeout is how long messages in flight may go unanswered before the
	// link is taken for dead. Default 60s.
	StallTimeout time.Duration `yaml:"stall_timeout,positive"`

	// MaxAttempts is after how many disconnects with the same message at the
	// head it goes to the dead letters. Default 10; None for never.
	MaxAttempts int `yaml:"max_attempts,none"`

	Will  *Message `yaml:"will"`  // published by the broker when the link breaks
	Birth *Message `yaml:"birth"` // published on each new link, before all others
	Close *Message `yaml:"close"` // published before each graceful end of a link

	Persist Persist `yaml:"persist"`
	Sync    Sync    `yaml:"sync"`

	// CommitDelay is how long a commit waits for more messages to share it.
	// Default 0s.
	CommitDelay time.Duration `yaml:"commit_delay"`

	// CompactionInterval is how often space is given back. Default 30s.
	CompactionInterval time.Duration `yaml:"compaction_interval,positive"`

	Window      int   `yaml:"window,positive"`            // messages in flight; default 100
	WindowBytes int64 `yaml:"window_bytes,size,positive"` // bytes in flight, but at least one message; default 1 MiB
	QoS2Window  int   `yaml:"qos2_window,positive"`       // of them with QoS 2; default 20

	// MaxQoS is the highest QoS that is used to the broker. Default 2.
	MaxQoS QoS `yaml:"max_qos"`

	// Retain says whether messages to the broker keep their retain flag.
	Retain Retain `yaml:"retain"`

	// Forward selects what local clients publish for the broker: the first
	// entry that matches decides. nil stands for everything but topics that
	// begin with $ and those that Subscribe delivers to; empty, but not nil, for
	// nothing.
	Forward []Forward `yaml:"forward"`

	// Subscribe selects what comes from the broker.
	Subscribe []Subscribe `yaml:"subscribe"`

	Limits Limits `yaml:"limits"`

	// KeepSent is how long what was sent stays readable, so that it can be sent again.
	// Default 0s: not at all.
	KeepSent time.Duration `yaml:"keep_sent"`

	Rate Rate `yaml:"rate"`
}

// TLS says how the broker is to prove itself, and we to it.
type TLS struct {
	CAFile             string   `yaml:"ca_file,path"` // instead of the system's authorities
	CertFile           string   `yaml:"cert_file,path"`
	KeyFile            string   `yaml:"key_file,path"`
	ServerName         string   `yaml:"server_name"` // expected instead of the URL's host
	ALPN               []string `yaml:"alpn"`
	InsecureSkipVerify bool     `yaml:"insecure_skip_verify"`
}

// Persist says which queues are on disk; the others are in memory.
type Persist struct {
	Outgoing Switch `yaml:"outgoing"` // default on
	Incoming Switch `yaml:"incoming"` // default off
}

// Message is one that is published on an occasion.
type Message struct {
	Topic   string    `yaml:"topic"`
	Payload string    `yaml:"payload"`
	QoS     types.QoS `yaml:"qos"`
	Retain  bool      `yaml:"retain"`
}

// Rate limits what is sent per second while draining; 0 for no limit.
type Rate struct {
	Messages int   `yaml:"messages"`
	Bytes    int64 `yaml:"bytes,size"`
}

// Defaults of a connection.
const (
	DefaultKeepAlive    = 30 * time.Second
	DefaultStallTimeout = 60 * time.Second
	DefaultMaxAttempts  = 10
	DefaultWindowBytes  = 1 << 20
	DefaultQoS2Window   = 20
)

// Message returns what is to be published, nil for nil.
func (m *Message) Message() *types.Message {
	if m == nil {
		return nil
	}
	return &types.Message{Topic: m.Topic, Payload: []byte(m.Payload), QoS: m.QoS, Retain: m.Retain}
}

func (c *Connection) setDefaults() {
	defaultTo(&c.KeepAlive, DefaultKeepAlive)
	defaultTo(&c.StallTimeout, DefaultStallTimeout)
	defaultTo(&c.MaxAttempts, DefaultMaxAttempts)
	defaultTo(&c.Persist.Outgoing, On)
	defaultTo(&c.Persist.Incoming, Off)
	defaultTo(&c.CompactionInterval, DefaultCompaction)
	defaultTo(&c.Window, DefaultWindow)
	defaultTo(&c.WindowBytes, DefaultWindowBytes)
	defaultTo(&c.QoS2Window, DefaultQoS2Window)
	defaultTo(&c.MaxQoS, QoS2)
	c.Forward = slices.Clone(c.Forward)
	for i := range c.Forward {
		defaultTo(&c.Forward[i].QoS, QoSKeep)
	}
	c.Subscribe = slices.Clone(c.Subscribe)
	for i := range c.Subscribe {
		defaultTo(&c.Subscribe[i].QoS, QoS1)
	}
	c.Limits.setDefaults()
}

func (c *Connection) check(p *problems, path string) {
	c.checkBroker(p, path)
	c.checkProxy(p, path)
	c.checkLogin(p, path)
	c.checkTimes(p, path)
	c.Will.check(p, path+".will")
	c.Birth.check(p, path+".birth")
	c.Close.check(p, path+".close")
	checkChoice(p, path+".persist.outgoing", c.Persist.Outgoing)
	checkChoice(p, path+".persist.incoming", c.Persist.Incoming)
	checkChoice(p, path+".protocol", c.Protocol)
	checkChoice(p, path+".session_lost", c.SessionLost)
	checkChoice(p, path+".retain", c.Retain)
	c.MaxQoS.check(p, path+".max_qos", false)
	c.Sync.check(p, path+".sync")
	p.number(path+".max_attempts", c.MaxAttempts, None, 1000000)
	p.number(path+".window", c.Window, 1, 1000)
	p.size(path+".window_bytes", c.WindowBytes, 1, 64<<20)
	p.number(path+".qos2_window", c.QoS2Window, 1, 1000)
	c.checkRoutes(p, path)
	c.Limits.check(p, path+".limits")
	p.number(path+".rate.messages", c.Rate.Messages, 0, 1<<31-1)
	p.size(path+".rate.bytes", c.Rate.Bytes, 0, 1<<50)
}

func (c *Connection) checkBroker(p *problems, path string) {
	if c.Broker == "" {
		p.add(path+".broker", "is missing", "add the URL of the broker, like mqtt://host:1883")
		return
	}
	tls := false
	seen := map[string]bool{}
	for i, b := range c.Brokers() {
		at := brokerPath(path, i)
		u, err := ParseBroker(b)
		if err != nil {
			p.add(at, err.Error(), "")
			return
		}
		if seen[u.String()] {
			p.add(at, "is in the list twice", "remove it")
		}
		seen[u.String()] = true
		tls = tls || u.Scheme == "mqtts" || u.Scheme == "wss"
	}
	if !tls && (c.TLS.CAFile != "" || c.TLS.CertFile != "" || c.TLS.KeyFile != "" || c.TLS.ServerName != "" || c.TLS.InsecureSkipVerify || len(c.TLS.ALPN) > 0) {
		p.add(path+".tls", "is set, but the broker's URL asks for no encryption", "use mqtts:// or wss://, or remove tls")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		p.add(path+".tls", "cert_file and key_file belong together", "set both or none")
	}
}

// brokerPath is where the broker with that place in the list stands.
func brokerPath(path string, i int) string {
	if i == 0 {
		return path + ".broker"
	}
	return fmt.Sprintf("%s.broker[%d]", path, i)
}

func (c *Connection) checkLogin(p *problems, path string) {
	p.text(path+".client_id", c.ClientID)
	p.text(path+".username", c.Username)
	p.text(path+".password_file", c.PasswordFile)
	switch {
	case c.PasswordFile != "" && c.Password != "":
		p.add(path+".password_file", "is set, and a password too", "set one of them")
	case c.Credentials != nil:
	case c.Username == "" && (c.PasswordFile != "" || c.Password != ""):
		p.add(path+".username", "is missing, but there is a password", "MQTT has no password without a username [MQTT-3.1.2-22]")
	}
}

func (c *Connection) checkTimes(p *problems, path string) {
	p.duration(path+".keep_alive", c.KeepAlive, time.Second, 65535*time.Second)
	if c.KeepAlive%time.Second != 0 {
		p.add(path+".keep_alive", "must be whole seconds", "")
	}
	p.duration(path+".stall_timeout", c.StallTimeout, time.Second, 24*time.Hour)
	p.duration(path+".commit_delay", c.CommitDelay, 0, 10*time.Second)
	p.duration(path+".compaction_interval", c.CompactionInterval, time.Second, 24*time.Hour)
	p.duration(path+".keep_sent", c.KeepSent, 0, 10*365*24*time.Hour)
}

func (m *Message) check(p *problems, path string) {
	if m == nil {
		return
	}
	if err := types.CheckTopic(m.Topic); err != nil {
		p.add(path+".topic", err.Error(), "")
	}
	if m.QoS > 2 {
		p.add(path+".qos", "must be 0, 1 or 2", "")
	}
	if len(m.Payload) > 65535 {
		p.add(path+".payload", fmt.Sprintf("has %d bytes, at most 65535 are allowed", len(m.Payload)), "")
	}
}
