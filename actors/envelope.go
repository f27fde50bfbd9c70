package actors

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/mqttdb/mqttdb/persistence"
)

// An envelope is what leaves in place of a payload where a route asks for it:
//
//	{"ts":"2026-01-02T03:04:05.678Z","seq":17,"replayed":true,"payload":"21.5"}
//
// ts is when the message was accepted, of a replay when it first was, seq its number
// in the queue. replayed says that it waited because there was no link, or was, or
// may have been, sent before. A
// payload that is not valid UTF-8 is "payload_base64" instead. Made when it is
// sent, it never lies in a store.
func envelope(r *persistence.Record, replayed bool) []byte {
	b := make([]byte, 0, EnvelopeSize(r.Message.Payload))
	b = append(b, `{"ts":"`...)
	accepted := r.Enqueued
	if !r.Original.IsZero() {
		accepted = r.Original
	}
	b = accepted.UTC().AppendFormat(b, envelopeTime)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, uint64(r.Seq), 10)
	b = append(b, `,"replayed":`...)
	b = strconv.AppendBool(b, replayed)
	if utf8.Valid(r.Message.Payload) {
		b = append(b, `,"payload":"`...)
		b = appendEscaped(b, r.Message.Payload)
	} else {
		b = append(b, `,"payload_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, r.Message.Payload)
	}
	return append(b, `"}`...)
}

// envelopeTime is RFC 3339 with milliseconds.
const envelopeTime = "2006-01-02T15:04:05.000Z"

// envelopeFrame is how many bytes of an envelope are not the payload, at most.
const envelopeFrame = len(`{"ts":"","seq":,"replayed":false,"payload_base64":""}`) + len(envelopeTime) + len("18446744073709551615")

// EnvelopeSize is how many bytes the envelope of a payload has, at most.
func EnvelopeSize(payload []byte) int {
	if !utf8.Valid(payload) {
		return envelopeFrame + base64.StdEncoding.EncodedLen(len(payload))
	}
	n := envelopeFrame + len(payload)
	for _, c := range payload {
		n += escapedSize(c) - 1
	}
	return n
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends text, which is valid UTF-8, as the inside of a JSON
// string.
func appendEscaped(b, text []byte) []byte {
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// escapedSize is how many bytes appendEscaped makes of c.
func escapedSize(c byte) int {
	switch {
	case c == '"' || c == '\\':
		return 2
	case c < ' ':
		return len(`\u0000`)
	}
	return 1
}
