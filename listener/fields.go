package listener

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// maxProperties bounds the MQTT 5 properties of one packet, in bytes.
const maxProperties = types.MaxProperties

// fields takes the fields of a packet from its bytes, front to back. After the
// first that is missing or wrong, err is set and the rest are zero.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) fail(text string) {
	if f.err == nil {
		f.err = malformed(text)
	}
	f.rest = nil
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.fail("the packet ends too early")
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// id takes a packet id, which is never 0 [MQTT-2.3.1-1].
func (f *fields) id() uint16 {
	id := f.uint16()
	if id == 0 {
		f.fail("packet id 0")
	}
	return id
}

// bytes takes a field with its length before it. It is not a copy.
func (f *fields) bytes() []byte { return f.take(int(f.uint16())) }

// text takes a UTF-8 string [MQTT-1.5.3] and copies it.
func (f *fields) text() string {
	b := f.bytes()
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		f.fail("a string that is not UTF-8 or contains NUL")
		return ""
	}
	return string(b)
}

// properties takes the properties of a packet of this kind. Strings and slices
// in them point into the packet. raw is what is on the wire after the length.
func (f *fields) properties(kind byte) (p packets.Properties, raw []byte) {
	size, digits := 0, 0
	for {
		b := f.byte()
		size |= int(b&127) << (7 * digits)
		digits++
		if b < 128 {
			break
		}
		if digits == 4 {
			f.fail("the length of the properties has more than four bytes")
			break
		}
	}
	if size > maxProperties {
		f.fail("more than 64 KiB of properties")
	}
	raw = f.take(size)
	if f.err != nil || size == 0 {
		return p, nil
	}
	// The codec wants the length in front and does not keep to it; it is given
	// these bytes only, so that it cannot read on into the payload.
	framed := append(appendVarint(make([]byte, 0, 3+size), size), raw...)
	if _, err := p.Decode(kind, bytes.NewBuffer(framed)); err != nil {
		f.fail("properties: " + strings.TrimPrefix(err.Error(), "malformed packet: "))
	} else if err := checkProperties(raw); err != nil {
		f.err, f.rest = err, nil
	}
	return p, raw
}

// end says that nothing may follow.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) > 0 {
		f.fail("the packet is longer than its content")
	}
	return f.err
}

// appendVarint appends n as a variable byte integer [MQTT-2.2.3].
func appendVarint(b []byte, n int) []byte {
	for n >= 128 {
		b = append(b, byte(n)|128)
		n >>= 7
	}
	return append(b, byte(n))
}
