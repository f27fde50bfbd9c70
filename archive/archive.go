// Package archive is how messages lie outside of a store: what `mqttdb export`
// writes and `mqttdb import` reads, one JSON object in each line (NDJSON). docs/formats.md
// describes it.
//
//	{"mqttdb":1,"store":"6f…","seq":17,"connection":"cloud","queue":"outgoing","topic":"a/b","qos":1,
//	 "payload":"MjEuNQ==","accepted":"2026-01-02T03:04:05.678Z"}
//
// Package nedb below it reads the files of the nodes that came before mqttdb. Nothing
// here opens a file, or knows how queues are stored.
package archive

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Version is the version of a line. A reader leaves out what has a higher one; what
// is only added does not change it.
const Version = 1

// MaxLine is the longest line that is read, in bytes: the largest message there can be, with
// every byte of its topic escaped.
const MaxLine = 16 << 20

// Message is a message with the place that it was at.
type Message struct {
	Connection string
	Queue      types.QueueName
	types.Stored
}

// line is a Message as it is written.
type line struct {
	Version    int             `json:"mqttdb"`
	Store      string          `json:"store"`
	Seq        types.Seq       `json:"seq"`
	Connection string          `json:"connection,omitempty"`
	Queue      types.QueueName `json:"queue,omitempty"`
	Topic      string          `json:"topic"`
	QoS        types.QoS       `json:"qos"`
	Retain     bool            `json:"retain,omitempty"`
	Payload    []byte          `json:"payload"` // base64
	Accepted   *time.Time      `json:"accepted,omitempty"`
	Expiry     int64           `json:"expiry_ms,omitempty"`
	Properties []byte          `json:"properties,omitempty"` // base64: MQTT 5, as on the wire
	Enveloped  bool            `json:"enveloped,omitempty"`
	Original   *time.Time      `json:"original,omitempty"`
	Cause      string          `json:"cause,omitempty"`
}

// encode returns m as a line, without its end.
func encode(m *Message) ([]byte, error) {
	l := line{
		Version, m.Store, m.Seq, m.Connection, m.Queue, m.Message.Topic, m.Message.QoS, m.Message.Retain, m.Message.Payload,
		timeOrNil(m.Accepted), m.Message.Expiry.Milliseconds(), m.Message.Properties, m.Enveloped, timeOrNil(m.Original), m.Cause,
	}
	if l.Payload == nil {
		l.Payload = []byte{} // and not null
	}
	return json.Marshal(&l)
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// longestExpiry is the largest number of ms that a time.Duration has room for.
const longestExpiry = int64(1<<63-1) / int64(time.Millisecond)

// decode reads a line. The error wraps types.ErrCorrupt, or types.ErrNewerFormat.
func decode(b []byte) (Message, error) {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return Message{}, fmt.Errorf("%w: %v", types.ErrCorrupt, err)
	}
	switch {
	case l.Version > Version:
		return Message{}, fmt.Errorf("%w: version %d, this one reads %d", types.ErrNewerFormat, l.Version, Version)
	case l.Version < 1:
		return Message{}, fmt.Errorf("%w: it is not a line of mqttdb export", types.ErrCorrupt)
	case l.Seq == 0 || l.Seq > maxSeq:
		return Message{}, fmt.Errorf("%w: the number %d is none of a message", types.ErrCorrupt, l.Seq)
	case !validStore(l.Store):
		return Message{}, fmt.Errorf("%w: the store id %.80q is none", types.ErrCorrupt, l.Store)
	case l.Expiry < 0 || l.Expiry > longestExpiry:
		return Message{}, fmt.Errorf("%w: expiry_ms %d", types.ErrCorrupt, l.Expiry)
	}
	m := Message{Connection: l.Connection, Queue: l.Queue, Stored: types.Stored{
		Seq: l.Seq, Store: l.Store, Cause: l.Cause, Enveloped: l.Enveloped,
		Message: types.Message{
			Topic: l.Topic, QoS: l.QoS, Retain: l.Retain, Payload: l.Payload,
			Expiry: time.Duration(l.Expiry) * time.Millisecond, Properties: l.Properties,
		},
	}}
	if l.Accepted != nil {
		m.Accepted = *l.Accepted
	}
	if l.Original != nil {
		m.Original = *l.Original
	}
	return m, nil
}

// maxSeq is the highest number of a message, see docs/formats.md.
const maxSeq = 1 << 62

// validStore says whether s can be the id of a store, or stand for one: it becomes
// part of a key.
func validStore(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != ':' {
			return false
		}
	}
	return s != "" && len(s) <= 80
}
