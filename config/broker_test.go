package config

import (
	"strings"
	"testing"
)

func TestParseBroker(t *testing.T) {
	tests := []struct{ text, want string }{ // want "": an error
		{"mqtt://host", "mqtt://host:1883"},
		{"mqtts://host", "mqtts://host:8883"},
		{"ws://host/mqtt", "ws://host:80/mqtt"},
		{"wss://host:444/mqtt?x=1", "wss://host:444/mqtt?x=1"},
		{"MQTT://host:1", "mqtt://host:1"},
		{"mqtt://[::1]", "mqtt://[::1]:1883"},
		{"mqtt://[::1]:7", "mqtt://[::1]:7"},
		{"mqtt://127.0.0.1:1883/", "mqtt://127.0.0.1:1883/"},
		{"mqtt://host:", "mqtt://host:1883"},
		{"", ""}, {"host", ""}, {"host:1883", ""}, {"tcp://host", ""}, {"http://host", ""}, {"mqtt://", ""}, {"mqtt://:1883", ""},
		{"mqtt://host:0", ""}, {"mqtt://host:65536", ""}, {"mqtt://host:x", ""}, {"mqtt://host/path", ""}, {"mqtt://host?x", ""},
		{"mqtt://ho st", ""}, {"mqtt://host\n", ""}, {"wss://host#x", ""},
		{"mqtt://pass@host", ""}, {"mqtt://gw:pass@host", ""}, {"mqtt://gw:pa/pass@host", ""}, {"mqtt://gw:pa#pass@host", ""}, {"mqtt://gw:pa%pass@host", ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			u, err := ParseBroker(tt.text)
			switch {
			case (err != nil) != (tt.want == ""):
				t.Errorf("ParseBroker: %v, %v", u, err)
			case err == nil && u.String() != tt.want:
				t.Errorf("ParseBroker: %v, want %s", u, tt.want)
			case err != nil && strings.Contains(err.Error(), "pass@"), err != nil && strings.Contains(err.Error(), "gw:"):
				t.Errorf("the error repeats credentials: %v", err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for broker, want := range map[string]string{
		"mqtt://h":                     "mqtt://h:1883",
		"wss://h/mqtt?token=s3cret":    "wss://h:443/mqtt",
		"mqtt://user:s3cret@h":         "(invalid)",
		"nonsense that may be s3cret@": "(invalid)",
	} {
		if got := (&Connection{Broker: broker}).Endpoint(); got != want {
			t.Errorf("Endpoint of %q is %q", broker, got)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1883": true, "127.8.9.1:1": true, "[::1]:1": true, "localhost:1": true, "LOCALHOST:1": true, "[::ffff:127.0.0.1]:1": true,
		":1883": false, "0.0.0.0:1": false, "[::]:1": false, "192.168.1.1:1": false, "localhost.example.com:1": false, "127.0.0.1": false, "": false,
		"::1:1": false, "[localhost]:1": false, "127.0.0.1.example.com:1": false,
	} {
		if got := Loopback(address); got != want {
			t.Errorf("Loopback(%q) = %v", address, got)
		}
	}
}
