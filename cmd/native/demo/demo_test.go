//go:build !js

package demo

import (
	"bytes"
	"strings"
	"testing"
)

// What is shown is what is there: the demo's own broker, or a real one.
func TestExplain(t *testing.T) {
	t.Setenv(envBroker, "mqtts://broker.example.com")
	for own, want := range map[*upstream]string{{addr: "127.0.0.1:1"}: "-> demo broker", nil: "-> your broker"} {
		var out bytes.Buffer
		d := demo{screen: newScreen(&out), broker: own, gateway: &gateway{mqtt: "127.0.0.1:1883"}}
		d.explain()
		text := strings.Join(strings.Fields(out.String()), " ")
		if !strings.Contains(text, want) || own == nil && (strings.Contains(text, "demo broker") || !strings.Contains(text, "broker mqtts://broker.example.com (yours")) {
			t.Errorf("it says %s", out.String())
		}
	}
}
