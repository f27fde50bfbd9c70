package sidecar

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// golden is what a file of testdata/frames has beside it.
type golden struct {
	Name    string          `json:"name"`
	Type    Type            `json:"type"`
	Flags   uint8           `json:"flags"`
	Seq     uint64          `json:"seq"`
	Header  json.RawMessage `json:"header"`  // parsed
	Text    string          `json:"text"`    // of the header, as it is in the frame
	Payload []byte          `json:"payload"` // base64
}

// goldenFrames has one frame of each type, and the corners: no header, empty and
// binary payloads, the largest seq that is exact in JavaScript, letters beyond ASCII.
func goldenFrames() map[string]Frame {
	yes, expiry, kind, window := true, uint32(60), "text/plain", 64
	linger := int64(3000)
	frame := func(t Type, seq uint64, header, payload any) Frame {
		f := Frame{Type: t, Seq: seq}
		if header != nil {
			f.Header = encode(header)
		}
		switch p := payload.(type) {
		case nil:
		case []byte:
			f.Payload = p
		default:
			f.Payload = encode(p)
		}
		return f
	}
	flagged := func(f Frame, flags uint8) Frame { f.Flags = flags; return f }
	settings := map[string]any{"url": "mqtt://localhost:1883", "client_id": "nodered_a1b2", "persist": map[string]bool{"outgoing": true, "incoming": true}}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return map[string]Frame{
		"hello":      frame(HelloType, 0, Hello{Version: 1, Session: "0123456789abcdef", DataDir: "/home/u/.node-red/mqttdb", Linger: &linger}, nil),
		"hello-tcp":  frame(HelloType, 0, Hello{Version: 1, Session: "0123456789abcdef", DataDir: "/data", Token: "not-a-real-token"}, nil),
		"welcome":    frame(WelcomeType, 0, Welcome{Version: 1, Mqttdb: "devel", MaxFrame: 7471104, MaxPayload: 7340032, WindowBytes: 16777216}, nil),
		"open":       frame(OpenType, 1, Target{Broker: "a1b2"}, settings),
		"close":      frame(CloseType, 2, Target{Broker: "a1b2"}, nil),
		"detach":     frame(DetachType, 0, Target{Broker: "a1b2"}, nil),
		"connect":    frame(ConnectType, 3, Target{Broker: "a1b2"}, nil),
		"disconnect": frame(DisconnectType, 4, Target{Broker: "a1b2"}, nil),
		"pub":        frame(PubType, 1, MessageHeader{Broker: "a1b2", Topic: "site/1", QoS: 2, Retain: true}, []byte("21.5")),
		"pub-resume": flagged(frame(PubType, 1<<53-1, MessageHeader{Broker: "a1b2", Topic: "grüße/°C"}, []byte{0, 0xff, 0x80, '\n'}), Resume),
		"pub-empty":  frame(PubType, 2, MessageHeader{Broker: "a1b2", Topic: "t", QoS: 1}, nil),
		"pub-properties": frame(PubType, 3, MessageHeader{Broker: "a1b2", Topic: "t", QoS: 1, Properties: &Properties{
			PayloadFormat: &yes, Expiry: &expiry, ContentType: &kind, Correlation: []byte{1, 2, 3},
			User: map[string]Strings{"a": {"1"}, "b": {"2", "3"}},
		}}, []byte("x")),
		"sub":            frame(SubType, 5, Target{Broker: "a1b2", Consumer: "n1", Window: &window}, Topics{Topics: []Topic{{"a/#", 2}, {"b/+/c", 0}}}),
		"unsub":          frame(UnsubType, 6, Target{Broker: "a1b2", Consumer: "n1"}, Untopics{Topics: []string{"a/#"}}),
		"unsub-all":      frame(UnsubType, 7, Target{Broker: "a1b2", Consumer: "n1"}, nil),
		"msgack":         frame(MsgAckType, 12, Target{Broker: "a1b2", Consumer: "n1"}, nil),
		"credit":         frame(CreditType, 0, Target{Broker: "a1b2", Consumer: "n1", Window: new(int)}, nil),
		"clear":          frame(ClearType, 8, Target{Broker: "a1b2", What: "outgoing"}, nil),
		"compact":        frame(CompactType, 9, Target{Broker: "a1b2"}, nil),
		"stop":           frame(StopType, 10, nil, nil),
		"ack":            frame(AckType, 1000, nil, nil),
		"nack-full":      frame(NackType, 3, Nack{Broker: "a1b2", Fault: Fault{Code: "full", Text: "queue full", Hint: "clear it"}, Stop: true}, nil),
		"nack-too-large": frame(NackType, 4, Nack{Broker: "a1b2", Fault: Fault{Code: "too-large", Text: "message too large"}}, nil),
		"msg":            frame(MsgType, 12, MessageHeader{Broker: "a1b2", Consumer: "n1", Topic: "a/b", QoS: 1, Retain: true}, []byte("hello")),
		"msg-again":      flagged(frame(MsgType, 13, MessageHeader{Broker: "a1b2", Consumer: "n1", Topic: "a/b"}, nil), Redelivered),
		"result":         frame(ResultType, 5, Result{OK: true}, Consuming{Stored: true, Store: "00112233445566778899aabbccddeeff"}),
		"result-open":    frame(ResultType, 1, Result{OK: true}, Opened{Notes: []string{}, Imported: &Imported{Messages: 120, Unreadable: 1}}),
		"result-error":   frame(ResultType, 1, Result{Fault: Fault{Code: "in-use", Text: "held by process 12", Hint: "stop it"}}, nil),
		"status": frame(StatusType, 0, nil, Status{
			Brokers: []BrokerStatus{{Broker: "a1b2", State: "online", Since: since, URL: "mqtt://localhost:1883", Pending: 120, PendingBytes: 24000, InFlight: 20}},
			Orphans: []OrphanStatus{{Broker: "c3d4", Pending: 7, PendingBytes: 900}},
		}),
		"room": frame(RoomType, 0, Target{Broker: "a1b2"}, nil),
	}
}

func TestGoldenFrames(t *testing.T) {
	const dir = "testdata/frames"
	frames := goldenFrames()
	if *update {
		for name, f := range frames {
			b, err := f.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			header := json.RawMessage(f.Header)
			if len(header) == 0 {
				header = json.RawMessage("{}")
			}
			text, err := json.MarshalIndent(golden{f.Type.String(), f.Type, f.Flags, f.Seq, header, string(f.Header), f.Payload}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range map[string][]byte{".bin": b, ".json": append(text, '\n')} {
				if err := os.WriteFile(filepath.Join(dir, name+file), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	files, err := filepath.Glob(dir + "/*.bin")
	if err != nil || len(files) != len(frames) {
		t.Fatalf("%d files, want %d: %v", len(files), len(frames), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".bin")
		t.Run(name, func(t *testing.T) {
			bin, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(strings.TrimSuffix(file, ".bin") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var want golden
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			f, err := ReadFrame(bin)
			if err != nil {
				t.Fatal(err)
			}
			if got := (golden{f.Type.String(), f.Type, f.Flags, f.Seq, nil, string(f.Header), f.Payload}); got.Name != want.Name || got.Type != want.Type ||
				got.Flags != want.Flags || got.Seq != want.Seq || got.Text != want.Text || !bytes.Equal(got.Payload, want.Payload) {
				t.Errorf("read %+v, want %+v", got, want)
			}
			if made, err := frames[name].Append(nil); err != nil || !bytes.Equal(made, bin) {
				t.Errorf("this version writes %q, %v; the file has %q", made, err, bin)
			}
		})
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"no whole head", make([]byte, headSize-1)},
		{"a header that is cut off", []byte{8, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, '{', '}'}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, err := ReadFrame(c.b); err == nil {
				t.Errorf("read %+v", f)
			}
		})
	}
}

func TestAppendRefusesLongHeader(t *testing.T) {
	if _, err := (Frame{Header: make([]byte, MaxHeader+1)}).Append(nil); err == nil {
		t.Error("a header that does not fit was written")
	}
}

func TestPropertiesThereAndBack(t *testing.T) {
	no, kind, topic := false, "application/json", "r/1"
	want := &Properties{PayloadFormat: &no, ContentType: &kind, ResponseTopic: &topic, Correlation: []byte{}, User: map[string]Strings{"a": {"1", "2"}, "b": {""}}}
	wire, err := want.Wire()
	if err != nil {
		t.Fatal(err)
	}
	got, err := PropertiesOf(wire, 0)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, %v; want %s", encode(got), err, encode(want))
	}
	again := new(Properties)
	if err := json.Unmarshal(encode(want), again); err != nil || again.User["a"][1] != "2" {
		t.Errorf("as JSON: %s, %v", encode(again), err)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, frame := range goldenFrames() {
		b, err := frame.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := ReadFrame(b)
		if err != nil {
			return
		}
		again, err := frame.Append(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q became %q: %v", b, again, err)
		}
		var m MessageHeader
		_ = frame.header(&m)
		_, _ = m.Properties.Wire()
		_, _ = PropertiesOf(frame.Payload, 0)
	})
}
