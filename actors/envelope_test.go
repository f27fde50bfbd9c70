package actors

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestEnvelope(t *testing.T) {
	at := time.Date(2026, 1, 2, 4, 4, 5, 60_900_000, time.FixedZone("CET", 3600))
	for _, tt := range []struct {
		name, payload, want string
		replayed            bool
	}{
		{"text", "21.5", `{"ts":"2026-01-02T03:04:05.060Z","seq":17,"replayed":false,"payload":"21.5"}`, false},
		{"replayed", "x", `{"ts":"2026-01-02T03:04:05.060Z","seq":17,"replayed":true,"payload":"x"}`, true},
		{"empty", "", `{"ts":"2026-01-02T03:04:05.060Z","seq":17,"replayed":false,"payload":""}`, false},
		{"escapes", "{\"a\":\"\\\n\x00\"}", `{"ts":"2026-01-02T03:04:05.060Z","seq":17,"replayed":false,"payload":"{\"a\":\"\\\u000a\u0000\"}"}`, false},
		{"UTF-8", "größe 🌡", `{"ts":"2026-01-02T03:04:05.060Z","seq":17,"replayed":false,"payload":"größe 🌡"}`, false},
		{"bytes", "\xff\x00", `{"ts":"2026-01-02T03:04:05.060Z","seq":17,"replayed":false,"payload_base64":"/wA="}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := persistence.Record{Seq: 17, Entry: persistence.Entry{Message: types.Message{Payload: []byte(tt.payload)}, Enqueued: at}}
			if got := string(envelope(&r, tt.replayed)); got != tt.want {
				t.Errorf("got\n %s, want\n %s", got, tt.want)
			}
		})
	}
}

// Whatever the payload, an envelope is JSON that gives it back, and no larger than
// EnvelopeSize says.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("21.5"), uint64(1))
	f.Add([]byte("\"\\\x00\x1f\x7f\u2028"), uint64(math.MaxUint64))
	f.Add([]byte{0xff, 0xfe}, uint64(7))
	f.Fuzz(func(t *testing.T, payload []byte, seq uint64) {
		r := persistence.Record{Seq: types.Seq(seq), Entry: persistence.Entry{Message: types.Message{Payload: payload}, Enqueued: time.Now()}}
		b := envelope(&r, false)
		var got struct {
			TS            time.Time
			Seq           uint64
			Replayed      bool
			Payload       *string
			PayloadBase64 []byte `json:"payload_base64"`
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		back := got.PayloadBase64
		if got.Payload != nil {
			back = []byte(*got.Payload)
		}
		switch {
		case !bytes.Equal(back, payload), (got.Payload != nil) != utf8.Valid(payload), got.Seq != seq:
			t.Errorf("%q became %s", payload, b)
		case len(b) > EnvelopeSize(payload):
			t.Errorf("%d bytes, at most %d were announced", len(b), EnvelopeSize(payload))
		}
	})
}
