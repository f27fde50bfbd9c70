package yaml

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
)

// testEnv is the environment of all tests.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"HOME":   "/root",
		"SECRET": "hunter2",
		"TOPIC":  "a/b",
		"EMPTY":  "",
		"INJECT": "x\n    window: 7\nmqtt: {receive_max: 1}\n# ${SECRET} $$",
		"WINDOW": "50",
	}[name]
	return v, ok
}

// TestMistakes compares what is said of each file in testdata/bad with the
// text beside it; go test -update writes the texts anew.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name, data, testEnv)
			if err == nil {
				t.Fatal("accepted")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := err.Error() + "\n"
			if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if name != "several.yaml" && strings.Count(got, "\n") != 1 {
				t.Errorf("one bad thing has several complaints:\n%s", got)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is repeated: %s", got)
			}
		})
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the texts in testdata anew")
	flag.Parse()
	os.Exit(m.Run())
}

// The empty file, and one in which everything is empty, are the default.
func TestEmptyFileIsDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n...\n", "~", "{}", "\ufeff", "mqtt:\nconnections:\nhttp: {}\n", "data_dir: ''\nmax_message_size: ${EMPTY}\n"} {
		c, err := Parse("x.yaml", []byte(text), testEnv)
		if want := config.Default(); err != nil || c.String() != want.String() {
			t.Errorf("%q: %v\n%v", text, err, c)
		}
	}
}

func TestParse(t *testing.T) {
	const text = `
data_dir: /srv
max_message_size: 1MB
mqtt: {listen: "[::1]:1884", receive_max: 7}
connections:
  zeta:
    broker: [mqtts://h]
    client_id: 0123
    username: ${EMPTY:-gw}
    password_file: "$$x${HOME}"
    tls: {alpn: mqtt, ca_file: ca.pem}
    keep_alive: 1h
    protocol: 3.1
    persist: {outgoing: false}
    sync: 500ms
    compaction_interval: 1d
    window: ${WINDOW}
    window_bytes: 64KiB
    max_qos: 0
    retain: clear
    will:
      topic: gw/state
      payload: |
        two
        lines
      qos: 2
      retain: true
    forward: []
    subscribe:
      - topic: $SYS/#
        qos: 0
  alpha:
    broker: ws://h/mqtt
    sync: never
    max_attempts: 10
`
	c, err := Parse("x.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Connections) != 2 || c.Connections[0].Name != "zeta" || c.Connections[1].Name != "alpha" {
		t.Fatalf("the connections are not in the order of the file: %v", c)
	}
	want := config.Config{
		DataDir:        "/srv",
		MaxMessageSize: 1e6,
		MQTT:           config.MQTT{Listener: config.Listener{Listen: "[::1]:1884"}, ReceiveMax: 7},
		Connections: []config.Connection{{
			Name: "zeta", Broker: "mqtts://h", ClientID: "0123", Username: "gw", PasswordFile: "$x/root",
			TLS: config.TLS{ALPN: []string{"mqtt"}, CAFile: "ca.pem"}, KeepAlive: time.Hour, Protocol: config.MQTT31,
			Persist: config.Persist{Outgoing: config.Off}, Sync: config.Interval(500 * time.Millisecond), CompactionInterval: 24 * time.Hour,
			Window: 50, WindowBytes: 65536, MaxQoS: config.QoS0, Retain: config.RetainClear,
			Will:      &config.Message{Topic: "gw/state", Payload: "two\nlines\n", QoS: 2, Retain: true},
			Forward:   []config.Forward{},
			Subscribe: []config.Subscribe{{Topic: "$SYS/#", QoS: config.QoS0}},
		}, {Name: "alpha", Broker: "ws://h/mqtt", Sync: config.Never}},
	}
	if err := want.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	if c.String() != want.String() {
		t.Errorf("got\n%v\nwant\n%v", c, want)
	}
	if c.Connections[0].Forward == nil {
		t.Error("forward: [] is taken for no forward")
	}
	if c.Connections[1].Forward != nil {
		t.Error("no forward is taken for forward: []")
	}
}

// A value from the environment stays one value.
func TestEnvironmentInjectsNothing(t *testing.T) {
	c, err := Parse("x.yaml", []byte("connections:\n  cloud:\n    broker: mqtt://h\n    client_id: ${INJECT}\n"), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	inject, _ := testEnv("INJECT")
	if got := c.Connections[0]; got.ClientID != inject || got.Window != config.DefaultWindow || c.MQTT.ReceiveMax != config.DefaultReceiveMax {
		t.Errorf("client id %q, window %d", got.ClientID, got.Window)
	}
}

// Every mistake can be found by errors.As, with its place.
func TestErrorsAs(t *testing.T) {
	_, err := Parse("x.yaml", []byte("\n  colour: red\n"), nil)
	var e *Error
	var ce *config.Error
	if !errors.As(err, &e) || e.File != "x.yaml" || e.Line != 2 || e.Column != 3 || !errors.As(err, &ce) || ce.Path != "colour" {
		t.Errorf("%#v", err)
	}
}
