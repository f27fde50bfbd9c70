package nedb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/mqttdb/mqttdb/types"
)

// decodePayload reads a payload in any of the forms in which it may lie in a file:
//
//	"text"
//	{"0":50,"1":49}                     a Buffer as NeDB copies it
//	{"type":"Buffer","data":[50,49]}    a Buffer as JSON.stringify writes it
//	null, {}, or none                   an empty one
func decodePayload(b json.RawMessage) ([]byte, error) {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || string(b) == "null":
		return nil, nil
	case b[0] == '"':
		var text string
		err := json.Unmarshal(b, &text)
		return []byte(text), err
	case b[0] == '{':
		if payload, ok := indexed(b); ok {
			return payload, nil
		}
		var buffer struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if json.Unmarshal(b, &buffer) == nil && buffer.Type == "Buffer" {
			if payload, ok := listed(buffer.Data); ok {
				return payload, nil
			}
			if payload, ok := indexed(buffer.Data); ok {
				return payload, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: the payload is neither text nor a Buffer: %.40s", types.ErrCorrupt, b)
}

// listed reads an array of bytes.
func listed(b []byte) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, false
	}
	payload := make([]byte, 0, len(b)/4)
	for d.More() {
		t, err := d.Token()
		n, ok := byteOf(t)
		if err != nil || !ok {
			return nil, false
		}
		payload = append(payload, n)
	}
	return payload, true
}

// indexed reads an object whose keys are the numbers of bytes, in order, as
// JavaScript writes them.
func indexed(b []byte) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	payload := make([]byte, 0, len(b)/8)
	for d.More() {
		key, err := d.Token()
		if err != nil || key != strconv.Itoa(len(payload)) {
			return nil, false
		}
		value, err := d.Token()
		n, ok := byteOf(value)
		if err != nil || !ok {
			return nil, false
		}
		payload = append(payload, n)
	}
	return payload, true
}

func byteOf(t json.Token) (byte, bool) {
	f, ok := t.(float64)
	return byte(f), ok && f >= 0 && f <= 255 && f == float64(byte(f))
}
