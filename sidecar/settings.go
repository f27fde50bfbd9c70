package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// settings are the payload of OPEN.
type settings struct {
	URL         string      `json:"url"`
	Protocol    string      `json:"protocol"`
	ClientID    string      `json:"client_id"`
	Clean       bool        `json:"clean"`
	KeepAlive   *int64      `json:"keep_alive"` // s; nil: 60
	Username    string      `json:"username"`
	Password    string      `json:"password"`
	TLS         tlsSettings `json:"tls"`
	Proxy       string      `json:"proxy"`
	Connect     *bool       `json:"connect"` // nil: true
	Will        *notice     `json:"will"`
	Birth       *notice     `json:"birth"`
	Close       *notice     `json:"close"`
	Persist     persist     `json:"persist"`
	CompactionS int64       `json:"compaction_s"`
	Limits      limits      `json:"limits"`
	Rate        rate        `json:"rate"`
}

type persist struct {
	Outgoing *bool `json:"outgoing"` // nil: true
	Incoming bool  `json:"incoming"`
}

type limits struct {
	MaxMessages int    `json:"max_messages"`
	MaxBytes    int64  `json:"max_bytes"`
	MaxAgeS     int64  `json:"max_age_s"`
	MinFreeDisk int64  `json:"min_free_disk"`
	Overflow    string `json:"overflow"`
}

type rate struct {
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

// notice is a message that is published on an occasion.
type notice struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     uint8  `json:"qos"`
	Retain  bool   `json:"retain"`
}

func (n *notice) config() *config.Message {
	if n == nil || n.Topic == "" {
		return nil
	}
	return &config.Message{Topic: n.Topic, Payload: n.Payload, QoS: types.QoS(n.QoS), Retain: n.Retain}
}

// plan is how a broker is to be.
type plan struct {
	connection config.Connection
	tls        *material
	paused     bool     // from the start
	notes      []string // for the user
}

const (
	defaultKeepAlive = 60
	longestKeepAlive = 65535
)

// readPlan reads the payload of OPEN. Its errors say nothing of credentials.
func readPlan(broker string, payload []byte) (*plan, error) {
	var s settings
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("the connection: %s", plain(err))
	}
	p := &plan{paused: s.Connect != nil && !*s.Connect, notes: []string{}}
	keepAlive := int64(defaultKeepAlive)
	if s.KeepAlive != nil {
		keepAlive = *s.KeepAlive
	}
	if keepAlive == 0 {
		keepAlive = longestKeepAlive
	}
	if s.Proxy == "direct" {
		s.Proxy = config.DirectProxy
	}
	p.connection = config.Connection{
		Name: broker, Broker: s.URL, ClientID: s.ClientID, CleanSession: s.Clean,
		KeepAlive: time.Duration(keepAlive) * time.Second,
		Username:  s.Username, Password: config.Secret(s.Password), Proxy: s.Proxy,
		TLS:  config.TLS{ServerName: s.TLS.ServerName, ALPN: s.TLS.ALPN, InsecureSkipVerify: s.TLS.Insecure},
		Will: s.Will.config(), Birth: s.Birth.config(), Close: s.Close.config(),
		Persist:            config.Persist{Outgoing: choice(s.Persist.Outgoing == nil || *s.Persist.Outgoing), Incoming: choice(s.Persist.Incoming)},
		CompactionInterval: time.Duration(s.CompactionS) * time.Second,
		Rate:               config.Rate{Messages: s.Rate.Messages, Bytes: s.Rate.Bytes},
		Forward:            []config.Forward{}, // nothing comes from local clients: there are none
	}
	c := &p.connection
	switch s.Protocol {
	case "":
	case "5":
		p.notes = append(p.notes, "MQTT 5 is not spoken to brokers yet: 3.1.1 is used, and the properties of messages are stored and not sent")
	default:
		if err := c.Protocol.UnmarshalText([]byte(s.Protocol)); err != nil {
			return nil, fmt.Errorf("protocol: %w", err)
		}
	}
	c.Limits.Limit = config.Limit{
		MaxMessages: s.Limits.MaxMessages, MaxBytes: s.Limits.MaxBytes,
		MaxAge: time.Duration(s.Limits.MaxAgeS) * time.Second, MinFreeDisk: s.Limits.MinFreeDisk,
	}
	if s.Limits.Overflow != "" {
		if err := c.Limits.Overflow.UnmarshalText([]byte(s.Limits.Overflow)); err != nil {
			return nil, fmt.Errorf("limits.overflow: %w", err)
		}
	}
	var err error
	if p.tls, err = s.TLS.material(); err != nil {
		return nil, err
	}
	return p, nil
}

func choice(on bool) config.Switch {
	if on {
		return config.On
	}
	return config.Off
}

// same says whether a broker that is as p says is as o says, too. Whether it is to
// dial at the start is past.
func (p *plan) same(o *plan) bool {
	return reflect.DeepEqual(p.connection, o.connection) && reflect.DeepEqual(p.tls, o.tls)
}

// renewed says whether what runs as p says has to be ended for o.
func (p *plan) renewed(o *plan) bool {
	return p.connection.Persist != o.connection.Persist || !reflect.DeepEqual(p.tls, o.tls)
}

// checkDataDir says whether a client may have its data there.
func checkDataDir(dir string) error {
	switch {
	case dir == "":
		return errors.New("data_dir is missing")
	case !filepath.IsAbs(dir), filepath.Clean(dir) != dir, strings.ContainsRune(dir, 0):
		return errors.New("data_dir must be an absolute path in its shortest form")
	case filepath.Dir(dir) == dir:
		return errors.New("data_dir must not be the root of a file system")
	}
	return nil
}
