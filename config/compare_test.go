package config

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	base := func() Config {
		c := valid()
		c.MQTT.Users = []User{{Name: "u", PasswordHash: "x"}, {Name: "v", PasswordHash: "y"}}
		conn := &c.Connections[0]
		conn.Password, conn.Username = "secret", "me"
		conn.Forward = []Forward{{Topic: "a"}, {Topic: "b"}}
		conn.TLS.ALPN = []string{"mqtt"}
		return c
	}
	someone := func(context.Context) (string, Secret, error) { return "", "", nil }
	tests := []struct {
		name   string
		change func(c *Config, conn *Connection)
		want   []string
	}{
		{"nothing", func(*Config, *Connection) {}, nil},
		{"spelled out default", func(c *Config, conn *Connection) { conn.Window = DefaultWindow }, nil},
		{"order of users", func(c *Config, _ *Connection) { slices.Reverse(c.MQTT.Users) }, nil},
		{"data_dir", func(c *Config, _ *Connection) { c.DataDir = "d" }, []string{"data_dir"}},
		{"hash of a user", func(c *Config, _ *Connection) { c.MQTT.Users[1].PasswordHash = "z" }, []string{"mqtt.users.v.password_hash"}},
		{"password", func(_ *Config, conn *Connection) { conn.Password = "other" }, []string{"connections.cloud.password"}},
		{"credentials", func(_ *Config, conn *Connection) { conn.Credentials = someone }, []string{"connections.cloud.credentials"}},
		{"an element of a list", func(_ *Config, conn *Connection) { conn.Forward[1].Topic = "c" }, []string{"connections.cloud.forward[1].topic"}},
		{"texts", func(_ *Config, conn *Connection) { conn.TLS.ALPN = []string{"mqtt", "h2"} }, []string{"connections.cloud.tls.alpn"}},
		{"no list and an empty one", func(_ *Config, conn *Connection) { conn.Subscribe = []Subscribe{} }, []string{"connections.cloud.subscribe"}},
		{"two", func(_ *Config, conn *Connection) { conn.Window, conn.KeepAlive = 5, time.Minute },
			[]string{"connections.cloud.keep_alive", "connections.cloud.window"}},
		{"will", func(_ *Config, conn *Connection) { conn.Will = &Message{Topic: "t"} },
			[]string{"connections.cloud.will.payload", "connections.cloud.will.qos", "connections.cloud.will.retain", "connections.cloud.will.topic"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old, new := base(), base()
			tt.change(&new, &new.Connections[0])
			old.setDefaults()
			new.setDefaults()
			for _, direction := range [][2]*Config{{&old, &new}, {&new, &old}} {
				var got []string
				for _, c := range Compare(direction[0], direction[1]) {
					got = append(got, c.Path)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
			}
		})
	}
}

// Every key counts: none can be changed unnoticed.
func TestCompareSeesEveryKey(t *testing.T) {
	old, new := sample(), sample()
	seen := map[string]bool{}
	walk(reflect.ValueOf(&new).Elem(), "", "", func(s setting) {
		if s.leaf() {
			alter(s.value)
		}
	})
	old.Connections[0].Name, new.Connections[0].Name = "cloud", "cloud"
	for _, c := range Compare(&old, &new) {
		seen[c.Pattern] = true
	}
	for _, k := range Keys() {
		if !seen[k.Path] {
			t.Errorf("%s can be changed unnoticed", k.Path)
		}
	}
}

// alter gives v another value.
func alter(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Uint8:
		v.SetUint(v.Uint() + 1)
	default:
		v.SetInt(v.Int() + 1)
	}
}

// Paths names what changed, once, and nothing of what is not asked for.
func TestPaths(t *testing.T) {
	changes := []Change{
		{"", "data_dir", "data_dir"},
		{"", "mqtt.users", "mqtt.users"},
		{"", "mqtt.users.a.b.password_hash", "mqtt.users.*.password_hash"},
		{"", "mqtt.users.a.b.publish", "mqtt.users.*.publish"},
		{"x", "connections.x.window", "connections.*.window"},
		{"y", "connections.y.window", "connections.*.window"},
	}
	if got, want := Paths(changes, "y"), []string{"data_dir", "mqtt.users.a.b", "connections.x.window"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
