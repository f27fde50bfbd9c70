package config

import (
	"strings"
	"testing"
)

func TestCheckCirclesInAList(t *testing.T) {
	c := Config{Connections: []Connection{{Name: "cloud", Broker: "mqtt://broker.example:1", Failover: []string{"mqtt://localhost"}}}}
	c.MQTT.Listen = "127.0.0.1:1883"
	if err := c.CheckCircles(); err == nil || !strings.HasPrefix(err.Error(), "connections.cloud.broker[1]: is mqtt.listen") {
		t.Error(err)
	}
}

func TestCheckCircles(t *testing.T) {
	for _, tt := range []struct {
		name, listen, broker string
		circle               bool
	}{
		{"the same", "127.0.0.1:1883", "mqtt://127.0.0.1:1883", true},
		{"the default port", "127.0.0.1:1883", "mqtt://127.0.0.1", true},
		{"localhost", "127.0.0.1:1883", "mqtt://LOCALHOST:1883", true},
		{"both localhost", "localhost:1883", "mqtt://localhost:1883", true},
		{"all addresses", "0.0.0.0:1883", "mqtt://127.0.0.1:1883", true},
		{"all addresses, short", ":1883", "mqtt://[::1]:1883", true},
		{"all addresses, IPv6", "[::]:1883", "mqtt://127.0.0.1:1883", true},
		{"IPv6", "[::1]:1883", "mqtt://[::1]:1883", true},
		{"IPv4 in IPv6", "127.0.0.1:1883", "mqtt://[::ffff:127.0.0.1]:1883", true},
		{"address of a network", "192.0.2.1:1883", "mqtt://192.0.2.1:1883", true},
		{"another port", "127.0.0.1:1884", "mqtt://127.0.0.1:1883", false},
		{"another loopback address", "127.0.0.1:1883", "mqtt://127.0.0.2:1883", false},
		{"another machine", "0.0.0.0:1883", "mqtt://192.0.2.1:1883", false},
		{"any port", "127.0.0.1:0", "mqtt://127.0.0.1:1883", false},
		{"nonsense", "x", "y", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Connections: []Connection{{Name: "elsewhere", Broker: "mqtt://broker.example:1"}, {Name: "cloud", Broker: tt.broker}}}
			c.MQTT.Listen = tt.listen
			err := c.CheckCircles()
			if (err != nil) != tt.circle {
				t.Fatalf("%v, want an error: %v", err, tt.circle)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "connections.cloud.broker: is mqtt.listen of this gateway itself") {
				t.Error(err)
			}
		})
	}
}
