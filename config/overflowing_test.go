package config

import (
	"strings"
	"testing"
)

func TestSurprisesOfLimits(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Config, conn *Connection)
		want   []string // beginnings
	}{
		{"none", func(*Config, *Connection) {}, nil},
		{"reject", func(_ *Config, conn *Connection) { conn.Limits.MaxMessages = 5 }, nil},
		{"less than a message", func(_ *Config, conn *Connection) { conn.Limits.MaxBytes = 1 << 20 },
			[]string{"connections.a.limits.max_bytes: is less than max_message_size, 4MiB"}},
		{"less than a message to local sessions", func(c *Config, _ *Connection) { c.Local.Limits.MaxBytes = 1 << 20 },
			[]string{"local.limits.max_bytes: is less than"}},
		{"each queue its own", func(_ *Config, conn *Connection) {
			conn.Persist.Incoming = On
			conn.Limits.Outgoing.MaxBytes, conn.Limits.Incoming.MaxBytes = 1<<20, 2<<20
		}, []string{"connections.a.limits.outgoing.max_bytes: is less than", "connections.a.limits.incoming.max_bytes: is less than"}},
		{"nothing to drop at", func(_ *Config, conn *Connection) { conn.Limits.Overflow = DropOldest },
			[]string{"connections.a.limits.overflow: is drop_oldest, but there is neither"}},
		{"in memory there is a limit", func(_ *Config, conn *Connection) {
			conn.Limits.Overflow, conn.Persist.Outgoing = DropOldest, Off
		}, nil},
		{"exactly once is dropped", func(_ *Config, conn *Connection) {
			conn.Limits.Overflow, conn.Limits.MaxMessages = DropNewest, 1000
		}, []string{"connections.a.limits.overflow: is drop_newest: at the limit messages with QoS 2 are dropped"}},
		{"at least once is dropped", func(_ *Config, conn *Connection) {
			conn.Limits.Overflow, conn.Limits.MaxMessages, conn.MaxQoS = DropOldest, 1000, QoS1
		}, nil},
		{"all in flight", func(_ *Config, conn *Connection) {
			conn.Limits.Overflow, conn.Limits.MaxMessages, conn.MaxQoS = DropOldest, 100, QoS1
		}, []string{"connections.a.limits.max_messages: is no more than window, 100"}},
		{"one queue rejects", func(_ *Config, conn *Connection) {
			conn.Limits.Overflow, conn.Limits.MaxMessages, conn.Limits.Outgoing.Overflow = DropOldest, 1000, Reject
			conn.Persist.Incoming = On
		}, nil},
		{"incoming is not stored", func(_ *Config, conn *Connection) { conn.Limits.Incoming.MaxMessages = 5 },
			[]string{"connections.a.limits.incoming: bounds nothing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Connections: []Connection{{Name: "a", Broker: "mqtt://one"}}}
			tt.change(&c, &c.Connections[0])
			if err := c.SetDefaultsAndValidate(); err != nil {
				t.Fatal(err)
			}
			got := c.Surprises()
			for i := range max(len(got), len(tt.want)) {
				switch {
				case i >= len(got):
					t.Errorf("not found: %s", tt.want[i])
				case i >= len(tt.want) || !strings.HasPrefix(got[i].Error(), tt.want[i]):
					t.Errorf("unexpected: %v", &got[i])
				}
			}
		})
	}
}
