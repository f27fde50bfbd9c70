package bridge

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// asPage is what web/mqttdb/frames.js makes of a publication.
func asPage(number uint32, id uint64, m types.Message) []byte {
	flags := byte(m.QoS)
	if m.Retain {
		flags |= retainFlag
	}
	body := append(binary.LittleEndian.AppendUint64(nil, id), flags)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(m.Topic)))
	return appendRecord(nil, publishKind, number, append(append(body, m.Topic...), m.Payload...))
}

func TestReadFrame(t *testing.T) {
	one := asPage(7, 9, types.Message{Topic: "a/b", Payload: []byte{0, 0xff, '\n'}, QoS: 2, Retain: true})
	tests := []struct {
		name    string
		frame   []byte
		records int
		err     error
	}{
		{"nothing", nil, 0, nil},
		{"one", one, 1, nil},
		{"three", append(append(append([]byte(nil), one...), one...), one...), 3, nil},
		{"cut off in the second", append(append([]byte(nil), one...), one[:len(one)-1]...), 1, errFrame},
		{"cut off in a header", one[:5], 0, errFrame},
		{"another kind", appendRecord(nil, 99, 1, nil), 0, errFrame},
		{"a length beyond everything", appendHeader(nil, publishKind, 1, 1<<32-1), 0, errFrame},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			err := readFrame(test.frame, func(r record) {
				n++
				id, m, err := readPublish(r.body)
				if r.number != 7 || id != 9 || err != nil || m.Topic != "a/b" || string(m.Payload) != "\x00\xff\n" || m.QoS != 2 || !m.Retain {
					t.Errorf("%d: %d %+v %v", r.number, id, m, err)
				}
			})
			if n != test.records || !errors.Is(err, test.err) {
				t.Errorf("%d records, %v", n, err)
			}
		})
	}
}

func TestDeliveryOnTheWire(t *testing.T) {
	d := delivery{subscription: 3, number: 4, seq: 5, accepted: time.UnixMilli(6), attempt: 7, redelivered: true, message: types.Message{Topic: "é", Payload: []byte("x"), QoS: 1, Retain: true}}
	want := "\x44\x03\x00\x00\x00\x20\x00\x00\x00" + "\x04\x00\x00\x00" + "\x05\x00\x00\x00\x00\x00\x00\x00" + "\x06\x00\x00\x00\x00\x00\x00\x00" + "\x07\x00\x00\x00" + "\x0d" + "\x02\x00\x00\x00" + "é" + "x"
	if got := string(d.append(nil)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(asPage(1, 2, types.Message{Topic: "t", Payload: []byte("p"), QoS: 1}))
	f.Add(appendRecord(nil, callKind, 1, []byte(`{"op":"status"}`)))
	f.Add(appendRecord(nil, settleKind, 0, []byte{1, 0, 0, 0, 2, 0, 0, 0, 1}))
	f.Add(appendRecord(nil, moreKind, 0, []byte{1, 0, 0, 0, 2, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		err := readFrame(b, func(r record) {
			again = appendRecord(again, r.kind, r.number, r.body)
			if id, m, err := readPublish(r.body); err == nil && r.kind == publishKind && r.body[8]&^7 == 0 {
				if got := asPage(r.number, id, m); string(got[headerSize:]) != string(r.body) {
					t.Errorf("%x is %x when it is written again", r.body, got[headerSize:])
				}
			}
			_, _, _, _ = readSettle(r.body)
			_, _, _ = readMore(r.body)
		})
		if string(again) != string(b[:len(again)]) || err == nil && len(again) != len(b) {
			t.Errorf("%x is %x when it is written again", b, again)
		}
	})
}
