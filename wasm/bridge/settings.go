package bridge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Settings are what a page opens with, as JSON. Those that it leaves out have the
// defaults of the configuration.
type Settings struct {
	Name       string     `json:"name"`     // of the queue, as that of a connection
	URL        string     `json:"url"`      // ws:// or wss://
	ClientID   string     `json:"clientId"` // "": made once, and stored
	Login      bool       `json:"login"`    // the page is asked for username and password before each attempt
	Durability Durability `json:"durability"`

	MaxBytes       int64  `json:"maxBytes"`    // of each queue; 0: what the browser grants
	MaxMessages    int    `json:"maxMessages"` // in each queue; 0: any number
	MaxMessageSize int64  `json:"maxMessageSize"`
	MaxAge         int64  `json:"maxAge"`   // ms; 0: for ever
	Overflow       string `json:"overflow"` // "": reject

	KeepAlive    int64   `json:"keepAlive"` // s
	CleanSession bool    `json:"cleanSession"`
	Window       int     `json:"window"`
	Will         *notice `json:"will"`
	Birth        *notice `json:"birth"`
	Closing      *notice `json:"closing"`
}

// Durability says what survives what.
type Durability string

const (
	Strict  Durability = "strict"  // stored messages survive a power cut
	Relaxed Durability = "relaxed" // they survive the end of the browser, and a power cut may take the latest
	Memory  Durability = "memory"  // nothing survives the Worker
)

// notice is a message that is published on an occasion.
type notice struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     uint8  `json:"qos"`
	Retain  bool   `json:"retain"`
}

func (n *notice) config() *config.Message {
	if n == nil {
		return nil
	}
	return &config.Message{Topic: n.Topic, Payload: n.Payload, QoS: types.QoS(n.QoS), Retain: n.Retain}
}

// ReadSettings reads what a page opens with.
func ReadSettings(text []byte) (Settings, error) {
	var s Settings
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("settings: %w", err)
	}
	switch s.Durability {
	case "":
		s.Durability = Strict
	case Strict, Relaxed, Memory:
	default:
		return s, fmt.Errorf("durability: must be strict, relaxed or memory, not %q", s.Durability)
	}
	return s, nil
}

// Connection is the connection that s describes.
func (s *Settings) Connection() (config.Connection, error) {
	c := config.Connection{
		Name: s.Name, Broker: s.URL, ClientID: s.ClientID, CleanSession: s.CleanSession,
		KeepAlive: time.Duration(s.KeepAlive) * time.Second, Window: s.Window,
		Will: s.Will.config(), Birth: s.Birth.config(), Close: s.Closing.config(),
		Persist: config.Persist{Outgoing: config.On, Incoming: config.On},
		Forward: []config.Forward{}, // nothing comes from local clients: there are none
	}
	switch s.Durability {
	case Memory:
		c.Persist = config.Persist{Outgoing: config.Off, Incoming: config.Off}
	case Relaxed:
		c.Sync = config.Interval(relaxedSync)
	}
	c.Limits.MaxBytes, c.Limits.MaxMessages = s.MaxBytes, s.MaxMessages
	c.Limits.MaxAge = time.Duration(s.MaxAge) * time.Millisecond
	if s.Overflow != "" {
		if err := c.Limits.Overflow.UnmarshalText([]byte(s.Overflow)); err != nil {
			return c, fmt.Errorf("overflow: %w", err)
		}
	}
	return c, nil
}

// relaxedSync is how much a power cut may take of what is stored with Relaxed.
const relaxedSync = 500 * time.Millisecond
