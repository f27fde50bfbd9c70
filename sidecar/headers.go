package sidecar

import "encoding/json"

// Hello is the header of HELLO.
type Hello struct {
	Version int    `json:"version"`
	Session string `json:"session"`
	DataDir string `json:"data_dir"`
	Token   string `json:"token,omitempty"`
	Linger  *int64 `json:"linger_ms,omitempty"` // nil: 3,000
}

// Welcome is the header of WELCOME; sizes are in bytes.
type Welcome struct {
	Version     int    `json:"version"`
	Mqttdb      string `json:"mqttdb"`
	MaxFrame    int    `json:"max_frame"`
	MaxPayload  int    `json:"max_payload"`
	WindowBytes int    `json:"window_bytes"`
}

// Target is the header of frames that concern a broker, and perhaps a consumer.
type Target struct {
	Broker   string `json:"b"`
	Consumer string `json:"c,omitempty"`
	Window   *int   `json:"window,omitempty"` // SUB: nil is 64
	What     string `json:"what,omitempty"`   // CLEAR
}

// MessageHeader is the header of PUB and MSG.
type MessageHeader struct {
	Broker     string      `json:"b"`
	Consumer   string      `json:"c,omitempty"` // MSG
	Topic      string      `json:"t"`
	QoS        int         `json:"q,omitempty"`
	Retain     bool        `json:"r,omitempty"`
	Properties *Properties `json:"p,omitempty"`
}

// Topics is the payload of SUB.
type Topics struct {
	Topics []Topic `json:"topics"`
}

// Topic is a filter, and the most it is subscribed to with.
type Topic struct {
	Topic string `json:"topic"`
	QoS   int    `json:"qos"`
}

// Untopics is the payload of UNSUB.
type Untopics struct {
	Topics []string `json:"topics"`
}

// Nack is the header of NACK, and Result that of RESULT.
type Nack struct {
	Broker string `json:"b"`
	Fault
	Stop bool `json:"stop"`
}

// Result is the header of RESULT.
type Result struct {
	OK bool `json:"ok"`
	Fault
}

// Fault says what went wrong.
type Fault struct {
	Code string `json:"code,omitempty"`
	Text string `json:"text,omitempty"` // for a log
	Hint string `json:"hint,omitempty"` // what to do
}

// Consuming is the value of the RESULT of SUB.
type Consuming struct {
	Stored bool   `json:"stored"`
	Store  string `json:"store,omitempty"` // identity of the queue that its numbers are of
}

// Opened is the value of the RESULT of OPEN.
type Opened struct {
	Notes    []string  `json:"notes"`
	Imported *Imported `json:"imported,omitempty"`
}

// Imported says what was taken over of the nodes before mqttdb.
type Imported struct {
	Messages   int `json:"messages"`
	Unreadable int `json:"unreadable"`
}

// encode is v as JSON. What is encoded here is plain data.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sidecar: " + err.Error())
	}
	return b
}
