package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// valid returns a configuration with one connection.
func valid() Config {
	return Config{Connections: []Connection{{Name: "cloud", Broker: "mqtt://host"}}}
}

func TestZeroValueIsDefault(t *testing.T) {
	var c Config
	if err := c.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("the zero value becomes\n%v\nthe default is\n%v", c, Default())
	}
	conn := valid()
	if err := conn.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	got := conn.Connections[0]
	if got.Persist != (Persist{On, Off}) || got.Sync != Always || got.Window != 100 || got.KeepAlive != 30*time.Second || got.MaxQoS.Of(2) != 2 {
		t.Errorf("the defaults are %+v", got)
	}
}

func TestSetDefaultsAndValidateTwice(t *testing.T) {
	c := valid()
	c.Connections[0].Limits.MinFreeDisk = DefaultMinFreeDisk
	c.Connections[0].Forward = []Forward{{Topic: "a"}}
	c.Connections[0].Subscribe = []Subscribe{{Topic: "b"}}
	c.Connections[0].Sync = Never
	if err := c.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	again := c
	if err := again.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, again) {
		t.Errorf("first\n%v\nthen\n%v", c, again)
	}
}

// What the caller gave stays as it is.
func TestCallersSlicesAreLeftAlone(t *testing.T) {
	given := valid()
	given.Connections[0].Forward = []Forward{{Topic: "a"}}
	given.Connections[0].PasswordFile = "pw"
	given.Connections[0].Username = "u"
	c := given
	if err := c.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	c.ResolvePaths(func(s string) string { return "/etc/" + s })
	if got := given.Connections[0]; got.Window != 0 || got.PasswordFile != "pw" || got.Forward[0].QoS != QoSDefault {
		t.Errorf("changed to %+v", got)
	}
	if got := c.Connections[0].PasswordFile; got != "/etc/pw" {
		t.Errorf("resolved to %q", got)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Config, conn *Connection)
		path   string // of the only problem; "": none
	}{
		{"nothing", func(c *Config, conn *Connection) {}, ""},
		{"data_dir with NUL", func(c *Config, conn *Connection) { c.DataDir = "a\x00" }, "data_dir"},
		{"largest message", func(c *Config, conn *Connection) { c.MaxMessageSize = 7 << 20 }, ""},
		{"message too large", func(c *Config, conn *Connection) { c.MaxMessageSize = 7<<20 + 1 }, "max_message_size"},
		{"negative message", func(c *Config, conn *Connection) { c.MaxMessageSize = -1 }, "max_message_size"},
		{"all addresses", func(c *Config, conn *Connection) { c.MQTT.Listen = ":1883" }, "mqtt.listen"},
		{"all addresses, allowed", func(c *Config, conn *Connection) { c.MQTT.Listen, c.MQTT.AllowAnonymous = ":1883", true }, ""},
		{"IPv6 loopback", func(c *Config, conn *Connection) { c.MQTT.Listen = "[::1]:1883" }, ""},
		{"localhost", func(c *Config, conn *Connection) { c.MQTT.Listen = "localhost:0" }, ""},
		{"no port", func(c *Config, conn *Connection) { c.MQTT.Listen = "127.0.0.1" }, "mqtt.listen"},
		{"port too high", func(c *Config, conn *Connection) { c.MQTT.Listen = "127.0.0.1:65536" }, "mqtt.listen"},
		{"receive_max", func(c *Config, conn *Connection) { c.MQTT.ReceiveMax = 65536 }, "mqtt.receive_max"},
		{"open HTTP", func(c *Config, conn *Connection) { c.HTTP.Listen = "0.0.0.0:80" }, "http.listen"},
		{"no broker", func(c *Config, conn *Connection) { conn.Broker = "" }, "connections.cloud.broker"},
		{"credentials", func(c *Config, conn *Connection) { conn.Broker = "mqtt://a:b@host" }, "connections.cloud.broker"},
		{"no name", func(c *Config, conn *Connection) { conn.Name = "" }, "connections[0].name"},
		{"bad name", func(c *Config, conn *Connection) { conn.Name = "../x" }, "connections.../x"},
		{"same name", func(c *Config, conn *Connection) { c.Connections = append(c.Connections, *conn) }, "connections.cloud"},
		{"same name in capitals", func(c *Config, conn *Connection) {
			c.Connections = append(c.Connections, Connection{Name: "Cloud", Broker: "mqtt://b"})
		}, "connections.Cloud"},
		{"same client id", func(c *Config, conn *Connection) {
			conn.ClientID = "x"
			c.Connections = append(c.Connections, Connection{Name: "two", Broker: "mqtt://host:1883", ClientID: "x"})
		}, "connections.two.client_id"},
		{"same client id elsewhere", func(c *Config, conn *Connection) {
			conn.ClientID = "x"
			c.Connections = append(c.Connections, Connection{Name: "two", Broker: "mqtt://host:1884", ClientID: "x"})
		}, ""},
		{"same client id in a list", func(c *Config, conn *Connection) {
			conn.ClientID, conn.Failover = "x", []string{"mqtt://second"}
			c.Connections = append(c.Connections, Connection{Name: "two", Broker: "mqtt://third", Failover: []string{"mqtt://second:1883"}, ClientID: "x"})
		}, "connections.two.client_id"},
		{"a list", func(c *Config, conn *Connection) { conn.Failover = []string{"mqtt://second", "ws://host/mqtt"} }, ""},
		{"a list with a mistake", func(c *Config, conn *Connection) { conn.Failover = []string{"mqtt://second", "mqtt://u:p@third"} }, "connections.cloud.broker[2]"},
		{"a list with one twice", func(c *Config, conn *Connection) { conn.Failover = []string{"mqtt://second", "mqtt://host:1883"} }, "connections.cloud.broker[2]"},
		{"proxy", func(c *Config, conn *Connection) { conn.Proxy = "http://user:pass@proxy:3128" }, ""},
		{"proxy with TLS", func(c *Config, conn *Connection) { conn.Proxy = "https://proxy/" }, ""},
		{"no proxy at all", func(c *Config, conn *Connection) { conn.Proxy = DirectProxy }, ""},
		{"proxy without scheme", func(c *Config, conn *Connection) { conn.Proxy = "proxy:3128" }, "connections.cloud.proxy"},
		{"another proxy", func(c *Config, conn *Connection) { conn.Proxy = "socks5://proxy:1080" }, "connections.cloud.proxy"},
		{"proxy without host", func(c *Config, conn *Connection) { conn.Proxy = "http://:3128" }, "connections.cloud.proxy"},
		{"proxy with a path", func(c *Config, conn *Connection) { conn.Proxy = "http://proxy:3128/x" }, "connections.cloud.proxy"},
		{"TLS without TLS", func(c *Config, conn *Connection) { conn.TLS.CAFile = "ca.pem" }, "connections.cloud.tls"},
		{"TLS", func(c *Config, conn *Connection) { conn.Broker, conn.TLS.CAFile = "mqtts://host", "ca.pem" }, ""},
		{"certificate without key", func(c *Config, conn *Connection) { conn.Broker, conn.TLS.CertFile = "mqtts://host", "c.pem" }, "connections.cloud.tls"},
		{"password without user", func(c *Config, conn *Connection) { conn.PasswordFile = "pw" }, "connections.cloud.username"},
		{"two passwords", func(c *Config, conn *Connection) { conn.Username, conn.Password, conn.PasswordFile = "u", "p", "pw" }, "connections.cloud.password_file"},
		{"client id not UTF-8", func(c *Config, conn *Connection) { conn.ClientID = "\xff" }, "connections.cloud.client_id"},
		{"user name too long", func(c *Config, conn *Connection) { conn.Username = strings.Repeat("x", 65536) }, "connections.cloud.username"},
		{"keep_alive too short", func(c *Config, conn *Connection) { conn.KeepAlive = time.Millisecond }, "connections.cloud.keep_alive"},
		{"keep_alive in between", func(c *Config, conn *Connection) { conn.KeepAlive = 1500 * time.Millisecond }, "connections.cloud.keep_alive"},
		{"keep_alive longest", func(c *Config, conn *Connection) { conn.KeepAlive = 65535 * time.Second }, ""},
		{"keep_alive too long", func(c *Config, conn *Connection) { conn.KeepAlive = 65536 * time.Second }, "connections.cloud.keep_alive"},
		{"stall_timeout", func(c *Config, conn *Connection) { conn.StallTimeout = -1 }, "connections.cloud.stall_timeout"},
		{"commit_delay", func(c *Config, conn *Connection) { conn.CommitDelay = time.Minute }, "connections.cloud.commit_delay"},
		{"compaction at its least", func(c *Config, conn *Connection) { conn.CompactionInterval = time.Second }, ""},
		{"compaction too often", func(c *Config, conn *Connection) { conn.CompactionInterval = time.Second - 1 }, "connections.cloud.compaction_interval"},
		{"compaction too seldom", func(c *Config, conn *Connection) { conn.CompactionInterval = 24*time.Hour + 1 }, "connections.cloud.compaction_interval"},
		{"window", func(c *Config, conn *Connection) { conn.Window = 1001 }, "connections.cloud.window"},
		{"window_bytes", func(c *Config, conn *Connection) { conn.WindowBytes = math.MaxInt64 }, "connections.cloud.window_bytes"},
		{"sync too often", func(c *Config, conn *Connection) { conn.Sync = 5 }, "connections.cloud.sync"},
		{"sync negative", func(c *Config, conn *Connection) { conn.Sync = -2 }, "connections.cloud.sync"},
		{"sync 500ms", func(c *Config, conn *Connection) { conn.Sync = Interval(500 * time.Millisecond) }, ""},
		{"persist", func(c *Config, conn *Connection) { conn.Persist.Outgoing = 7 }, "connections.cloud.persist.outgoing"},
		{"retain", func(c *Config, conn *Connection) { conn.Retain = 7 }, "connections.cloud.retain"},
		{"max_qos keep", func(c *Config, conn *Connection) { conn.MaxQoS = QoSKeep }, "connections.cloud.max_qos"},
		{"max_qos 0", func(c *Config, conn *Connection) { conn.MaxQoS = QoS0 }, ""},
		{"protocol", func(c *Config, conn *Connection) { conn.Protocol = 9 }, "connections.cloud.protocol"},
		{"protocol 3.1", func(c *Config, conn *Connection) { conn.Protocol = MQTT31 }, ""},
		{"will", func(c *Config, conn *Connection) { conn.Will = &Message{Topic: "a", QoS: 2} }, ""},
		{"will without topic", func(c *Config, conn *Connection) { conn.Will = &Message{} }, "connections.cloud.will.topic"},
		{"will with QoS 3", func(c *Config, conn *Connection) { conn.Will = &Message{Topic: "a", QoS: 3} }, "connections.cloud.will.qos"},
		{"birth without topic", func(c *Config, conn *Connection) { conn.Birth = &Message{Payload: "x"} }, "connections.cloud.birth.topic"},
		{"close with a wildcard", func(c *Config, conn *Connection) { conn.Close = &Message{Topic: "a/#"} }, "connections.cloud.close.topic"},
		{"will too large", func(c *Config, conn *Connection) {
			conn.Will = &Message{Topic: "a", Payload: strings.Repeat("x", 65536)}
		}, "connections.cloud.will.payload"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c, &c.Connections[0])
			expect(t, c.SetDefaultsAndValidate(), tt.path)
		})
	}
}

// expect checks that there is one problem, at path, or none if path is "".
func expect(t *testing.T, err error, path string) {
	t.Helper()
	var paths []string
	for _, e := range Errors(err) {
		paths = append(paths, e.Path)
	}
	if want := strings.Fields(path); !slices.Equal(paths, want) {
		t.Errorf("problems at %q, want %q:\n%v", paths, want, err)
	}
}

func TestAllProblemsAreReported(t *testing.T) {
	c := Config{MaxMessageSize: -1, Connections: []Connection{{Name: "A"}, {Name: "b", Broker: "x", Window: -1}}}
	got := Errors(c.SetDefaultsAndValidate())
	if len(got) != 4 {
		t.Errorf("%d problems, want 4: %v", len(got), got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{ // S9
		"a": true, "0": true, "cloud": true, "a.b-c_d": true, "a-": true, "a_": true, strings.Repeat("a", 64): true,
		"": false, "_local": false, ".a": false, "-a": false, "a.": false, "..": false, "A": false, "a b": false, "a/b": false, `a\b`: false,
		"ä": false, "a\x00": false, "a\n": false, strings.Repeat("a", 65): false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
		if s9 := regexp.MustCompile(`\A[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])?\z`); s9.MatchString(name) != want {
			t.Errorf("the table says %v for %q, S9 does not", want, name)
		}
	}
}

// Every exported field of every struct has a key, or says that it has none;
// every number of time or size says so.
func TestEveryFieldIsTagged(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(typ reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		_, text := reflect.New(typ).Interface().(encoding.TextUnmarshaler)
		if typ.Kind() != reflect.Struct || text || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag, ok := f.Tag.Lookup("yaml")
			key, options, _ := strings.Cut(tag, ",")
			switch {
			case !ok:
				t.Errorf("%v.%s has no yaml tag", typ, f.Name)
			case key == "-":
				continue
			case key == "" && options != "name" && options != "inline", !regexp.MustCompile(`^[a-z0-9_]*$`).MatchString(key):
				t.Errorf("%v.%s has the tag %q", typ, f.Name, tag)
			case f.Type.Kind() == reflect.Int64 && f.Type.PkgPath() == "" && !strings.Contains(options, "size"):
				t.Errorf("%v.%s does not say what it counts", typ, f.Name)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[Config]())
	if len(seen) < 10 {
		t.Fatalf("only %d structs were seen", len(seen))
	}
}

// None is the only way to say "no limit" where zero is the default, and a zero
// that means something else than the default is refused by the file's reader:
// each number with a default other than zero has one of the two options.
func TestDefaultsThatAreNotZero(t *testing.T) {
	all := sample()
	walk(reflect.ValueOf(&all).Elem(), "", "", func(s setting) {
		_, text := s.value.Addr().Interface().(encoding.TextUnmarshaler)
		if text || !s.value.CanInt() {
			return
		}
		if has := s.field.Positive || s.field.None; has != (s.value.Int() != 0) {
			t.Errorf("%s: default %s, positive %v, none %v", s.pattern, s.text(), s.field.Positive, s.field.None)
		}
	})
}

func ExampleConfig_SetDefaultsAndValidate() {
	c := Config{Connections: []Connection{{Name: "cloud", Broker: "broker.example.com", Window: 5000}}}
	fmt.Println(c.SetDefaultsAndValidate())
	// Output:
	// connections.cloud.broker: is not a URL; write it like mqtt://host:1883
	// connections.cloud.window: must be from 1 to 1000
}
