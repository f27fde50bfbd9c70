package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/types"
)

const store = "00112233445566778899aabbccddeeff"

func full() archive.Message {
	return archive.Message{Connection: "cloud", Queue: types.DeadLetters, Stored: types.Stored{
		Seq: 17, Store: store, Accepted: time.UnixMilli(1700000000123).UTC(), Original: time.UnixMilli(1600000000000).UTC(),
		Cause: "the broker <refuses> \"it\"", Enveloped: true,
		Message: types.Message{
			Topic: "größe/\u2028\"\\/🌡", Payload: []byte{0, 255, '\n'}, QoS: 2, Retain: true, Expiry: time.Hour, Properties: []byte{1, 0},
		},
	}}
}

func small(seq types.Seq) archive.Message {
	return archive.Message{Connection: "cloud", Queue: types.Outgoing, Stored: types.Stored{
		Seq: seq, Store: store, Message: types.Message{Topic: "t", Payload: []byte(fmt.Sprint(seq)), QoS: 1}, Accepted: time.UnixMilli(1700000000123).UTC(),
	}}
}

func written(t *testing.T, list ...archive.Message) string {
	t.Helper()
	var b bytes.Buffer
	w := archive.NewWriter(&b)
	for i := range list {
		if err := w.Write(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// What was written is read again, all of it; a line is what docs/formats.md says.
func TestRoundTrip(t *testing.T) {
	text := written(t, full(), small(1))
	if want := `{"mqttdb":1,"store":"` + store + `","seq":1,"connection":"cloud","queue":"outgoing","topic":"t","qos":1,"payload":"MQ==","accepted":"2023-11-14T22:13:20.123Z"}` + "\n"; !strings.HasSuffix(text, want) {
		t.Errorf("wrote %s", text)
	}
	r := archive.NewReader(strings.NewReader(text))
	for _, want := range []archive.Message{full(), small(1)} {
		if got, err := r.Next(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, %v\nwant %+v", got, err, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// What is damaged is named, and what follows is read.
func TestDamagedLines(t *testing.T) {
	good := written(t, small(7))
	for _, c := range []struct {
		name, line string
		err        error
	}{
		{"cut off", good[:len(good)/2] + "\n", types.ErrCorrupt},
		{"not JSON", "x\n", types.ErrCorrupt},
		{"not ours", "{}\n", types.ErrCorrupt},
		{"newer", strings.Replace(good, `"mqttdb":1`, `"mqttdb":2`, 1), types.ErrNewerFormat},
		{"no number", strings.Replace(good, `"seq":7`, `"seq":0`, 1), types.ErrCorrupt},
		{"a number too high", strings.Replace(good, `"seq":7`, `"seq":9223372036854775807`, 1), types.ErrCorrupt},
		{"no store", strings.Replace(good, store, "", 1), types.ErrCorrupt},
		{"a store with a slash", strings.Replace(good, store, "a/b", 1), types.ErrCorrupt},
		{"a payload that is no base64", strings.Replace(good, `"payload":"`, `"payload":"*`, 1), types.ErrCorrupt},
		{"an expiry below 0", strings.Replace(good, `"qos":1`, `"qos":1,"expiry_ms":-1`, 1), types.ErrCorrupt},
		{"an expiry too long", strings.Replace(good, `"qos":1`, `"qos":1,"expiry_ms":9223372036854775807`, 1), types.ErrCorrupt},
		{"too long", `{"topic":"` + strings.Repeat("x", archive.MaxLine) + "\"}\n", types.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := archive.NewReader(strings.NewReader("\n" + c.line + "\r\n" + good))
			_, err := r.Next()
			var bad *archive.LineError
			if !errors.As(err, &bad) || bad.Line != 2 || !errors.Is(err, c.err) || len(err.Error()) > 300 {
				t.Errorf("%v", err)
			}
			if m, err := r.Next(); err != nil || m.Seq != 7 {
				t.Errorf("behind it: %v, %v", m, err)
			}
		})
	}
}

// What a later version adds does no harm.
func TestUnknownField(t *testing.T) {
	text := strings.Replace(written(t, small(7)), `"qos":1`, `"qos":1,"colour":["red"]`, 1)
	if m, err := archive.NewReader(strings.NewReader(text)).Next(); err != nil || !reflect.DeepEqual(m, small(7)) {
		t.Errorf("%v, %v", m, err)
	}
}

// Load keeps the order, mixes no queues, and leaves out what cannot be stored.
func TestLoad(t *testing.T) {
	var list []archive.Message
	for seq := range types.Seq(2500) {
		m := small(seq + 1)
		if seq >= 2000 {
			m.Connection = "other"
		}
		list = append(list, m)
	}
	list[30].Message.QoS = 3
	text := written(t, list...)
	cut := text[:strings.Index(text, `"seq":2500,`)]
	next := types.Seq(0)
	result, err := archive.Load(archive.NewReader(strings.NewReader(cut)), func(m *types.Message) error { return m.Check(100) },
		func(batch []archive.Message) (archive.Result, error) {
			for _, m := range batch {
				if next++; next == 31 {
					next++
				}
				if m.Seq != next || m.Connection != batch[0].Connection {
					t.Fatalf("message %d of %s, want %d", m.Seq, m.Connection, next)
				}
			}
			return archive.Result{Imported: uint64(len(batch)) - 1, Known: 1}, nil
		})
	if err != nil || result.Imported+result.Known != 2498 || result.Known != 3 || result.Refused != 2 || !strings.Contains(result.Why, "QoS 3") {
		t.Errorf("%+v, %v", result, err)
	}
	full := errors.New("full")
	result, err = archive.Load(archive.NewReader(strings.NewReader(text)), nil, func(batch []archive.Message) (archive.Result, error) {
		return archive.Result{Imported: 3}, full
	})
	if !errors.Is(err, full) || result.Imported != 3 {
		t.Errorf("%+v, %v", result, err)
	}
}

// What a reader takes for whole is written and read again as the same.
func FuzzReader(f *testing.F) {
	var b bytes.Buffer
	w := archive.NewWriter(&b)
	for _, m := range []archive.Message{full(), small(1)} {
		if err := w.Write(&m); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"mqttdb":1,"store":"nedb:0a","seq":1,"topic":"","qos":9,"payload":null}`))
	f.Add([]byte("\n\r\n{}\n{\"mqttdb\":2}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := archive.NewReader(bytes.NewReader(in))
		for {
			m, err := r.Next()
			var bad *archive.LineError
			if errors.As(err, &bad) {
				continue
			} else if err != nil {
				return
			}
			if m.Message.Payload == nil {
				m.Message.Payload = []byte{}
			}
			if len(m.Message.Properties) == 0 {
				m.Message.Properties = nil
			}
			again, err := archive.NewReader(strings.NewReader(written(t, m))).Next()
			if y := m.Accepted.Year(); err != nil && (y < 0 || y > 9999) {
				continue
			}
			if err != nil || !again.Accepted.Equal(m.Accepted) || !again.Original.Equal(m.Original) {
				t.Fatalf("%+v, %v\n%+v", again, err, m)
			}
			again.Accepted, again.Original = m.Accepted, m.Original
			if !reflect.DeepEqual(again, m) {
				t.Fatalf("%+v\n%+v", again, m)
			}
		}
	})
}
