package config

import (
	"reflect"
	"strings"
	"testing"
)

// What is not built yet is refused, and never silently ignored.
func TestNotYet(t *testing.T) {
	tests := []struct {
		path   string
		change func(c *Config, conn *Connection)
	}{
		{"connections.cloud.protocol", func(c *Config, conn *Connection) { conn.Protocol = MQTT5 }},
	}
	tested := map[string]bool{}
	for _, tt := range tests {
		tested[strings.NewReplacer("cloud", "*", "[0]", "[]").Replace(tt.path)] = true
		t.Run(tt.path, func(t *testing.T) {
			c := valid()
			tt.change(&c, &c.Connections[0])
			err := c.SetDefaultsAndValidate()
			if err == nil || !strings.Contains(err.Error(), tt.path+": ") || !strings.Contains(err.Error(), "not built yet in this version; remove it (the default is \"") {
				t.Errorf("the error does not say so: %v", err)
			}
		})
	}
	for _, g := range gaps() {
		if !tested[g.pattern] {
			t.Errorf("%s is not tested", g.pattern)
		}
	}
}

// Spelling out a default is allowed, also of what is not built yet.
func TestNotYetAcceptsDefaults(t *testing.T) {
	c := valid()
	c.setDefaults()
	c.MQTT.Users, c.MQTT.Listeners, c.HTTP.AllowedHosts = []User{}, []Listener{}, []string{}
	c.Connections[0].Failover = []string{}
	if err := c.SetDefaultsAndValidate(); err != nil {
		t.Error(err)
	}
}

// Each line of the table names something that exists.
func TestNotYetNamesKeys(t *testing.T) {
	known := map[string]bool{}
	all := sample()
	walk(reflect.ValueOf(&all).Elem(), "", "", func(s setting) { known[s.pattern] = true })
	for _, g := range gaps() {
		if !known[g.pattern] {
			t.Errorf("%s is no key", g.pattern)
		}
	}
}
