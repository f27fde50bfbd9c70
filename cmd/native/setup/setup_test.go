package setup

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/config/yaml"
)

func parse(t *testing.T, text string) config.Config {
	t.Helper()
	c, err := yaml.Parse("mqttdb.yaml", []byte(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// A new file has every key with its default, and means nothing but the defaults.
func TestEveryKeyWithItsDefault(t *testing.T) {
	d := New("The configuration.")
	d.Complete("cloud")
	text := d.String()
	if c := parse(t, text); len(config.Compare(&c, new(config.Default()))) > 0 {
		t.Errorf("the new file changes something: %v", config.Compare(&c, new(config.Default())))
	}
	leaves := regexp.MustCompile(`(?m)^# *(- )?[a-z_0-9]+: .+$`).FindAllString(text, -1)
	if len(leaves) != len(config.Keys()) {
		t.Errorf("%d settings are in the file, there are %d", len(leaves), len(config.Keys()))
	}
	// Without the # all of it is read: what is wrong then is only what has to be
	// said by somebody.
	all := regexp.MustCompile(`(?m)^#([^#])`).ReplaceAllString(text, "$1")
	_, err := yaml.Parse("mqttdb.yaml", []byte(all), nil)
	for _, e := range config.Errors(err) {
		if strings.Contains(e.Error(), "unknown key") || strings.Contains(e.Msg, "must be") {
			t.Errorf("%v\n%s", e, all)
		}
	}
	if err == nil || strings.Contains(err.Error(), "unknown key") {
		t.Errorf("%v\n%s", err, all)
	}
	for _, line := range strings.Split(text, "\n") {
		if len(line) > lineWidth+20 && strings.HasPrefix(line, "##") {
			t.Errorf("a long line: %s", line)
		}
		if strings.Contains(line, "**") || strings.Contains(line, "`") {
			t.Errorf("Markdown: %s", line)
		}
	}
}

func TestSet(t *testing.T) {
	d := New()
	d.Set(`"mqtt://h"`, "connections", "here", "broker")
	d.Set(`"a/#"`, "connections", "here", "forward", "-", "topic")
	d.Set(`"b/#"`, "connections", "here", "forward", "-", "topic")
	d.Set("0", "connections", "here", "forward", "=", "qos")
	d.Complete("cloud")
	c := parse(t, d.String())
	if len(c.Connections) != 1 || c.Connections[0].Name != "here" || c.Connections[0].Broker != "mqtt://h" {
		t.Fatalf("%+v", c.Connections)
	}
	if f := c.Connections[0].Forward; len(f) != 2 || f[0].Topic != "a/#" || f[0].QoS != config.QoSKeep || f[1].Topic != "b/#" || f[1].QoS != config.QoS0 {
		t.Errorf("%+v", f)
	}
}

// What can be converted is; what cannot is named; the result is valid.
func TestFromMosquitto(t *testing.T) {
	made, err := FromMosquitto("testdata/mosquitto.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := made.Document.String()
	c := parse(t, text)
	if len(c.Connections) != 2 {
		t.Fatalf("%+v", c.Connections)
	}
	cloud, plain := c.Connections[0], c.Connections[1]
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"max_message_size", c.MaxMessageSize, int64(1000000)},
		{"listen", c.MQTT.Listen, "127.0.0.1:1883"},
		{"name", cloud.Name, "cloud-one"},
		{"broker", cloud.Broker, "mqtts://cloud.example.com:8883"},
		{"client id", cloud.ClientID, "factory-1"},
		{"username", cloud.Username, "gw"},
		{"password file", cloud.PasswordFile, "cloud-one.pw"},
		{"password", made.Secrets["cloud-one.pw"], "s3cr3t $dollar"},
		{"keep_alive", cloud.KeepAlive.String(), "45s"},
		{"CA", cloud.TLS.CAFile, "/etc/ssl/certs/ca.pem"},
		{"certificate", cloud.TLS.CertFile, "/etc/mosquitto/client.crt"},
		{"key", cloud.TLS.KeyFile, "/etc/mosquitto/client.key"},
		{"insecure", cloud.TLS.InsecureSkipVerify, true},
		{"ALPN", strings.Join(cloud.TLS.ALPN, ","), "mqtt"},
		{"will", cloud.Will.Topic + " " + cloud.Will.Payload, "factory/1/state 0"},
		{"forward", cloud.Forward[0].Topic + " " + cloud.Forward[0].RemotePrefix, "sensors/# site1/"},
		{"one topic", cloud.Forward[len(cloud.Forward)-1].LocalPrefix + " " + cloud.Forward[len(cloud.Forward)-1].RemotePrefix, "a/b c/d"},
		{"subscribe", cloud.Subscribe[0].Topic + " " + cloud.Subscribe[0].RemotePrefix, "cmd/# site1/"},
		{"plain broker", plain.Broker, "mqtt://192.0.2.7:1883"},
		{"plain prefix", plain.Subscribe[0].LocalPrefix, "plain/"},
		{"plain forwards nothing", plain.Forward != nil && len(plain.Forward) == 0, true},
		{"plain bridge", plain.Bridge, false},
	} {
		if check.got != check.want {
			t.Errorf("%s: %v, want %v", check.what, check.got, check.want)
		}
	}
	notes := strings.Join(made.Notes, "\n")
	for _, named := range []string{
		"mosquitto.conf:2: user mosquitto", "persistence true", "persistence_location", "log_dest",
		"connection Cloud One: the connection is called cloud-one", "bridge_insecure true", "bridge_tls_version tlsv1.3",
		"round_robin true", "start_type lazy", "threshold 10",
	} {
		if !strings.Contains(notes, named) || !strings.Contains(text, named) {
			t.Errorf("nothing is said of %s:\n%s", named, notes)
		}
	}
	if strings.Contains(notes+text, "s3cr3t") {
		t.Error("the password is in the notes or the file")
	}
}

// Each line of a bridge is taken over or named.
func TestNothingIsDroppedSilently(t *testing.T) {
	known := map[string]string{ // directive → what of it is in the file
		"remote_username me":               `username: "me"`,
		"username me":                      `username: "me"`,
		"clientid id":                      `client_id: "id"`,
		"cleansession true":                "clean_session: true",
		"keepalive_interval 60":            "keep_alive: 60s",
		"bridge_outgoing_retain false":     "retain: clear",
		"bridge_protocol_version mqttv31":  "protocol: 3.1",
		"bridge_protocol_version mqttv50":  "",
		"bridge_capath /etc/ssl/certs":     "",
		"bridge_psk 0123":                  "",
		"bridge_identity me":               "",
		"bridge_bind_address 127.0.0.1":    "",
		"bridge_max_packet_size 100":       "",
		"bridge_attempt_unsubscribe false": "",
		"local_password x":                 "",
		"idle_timeout 5":                   "",
		"topic a sideways":                 "",
		"something_new 1":                  "",
	}
	for line, want := range known {
		t.Run(line, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mosquitto.conf")
			if err := os.WriteFile(file, []byte("connection c\naddress h\n"+line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			made, err := FromMosquitto(file)
			if err != nil {
				t.Fatal(err)
			}
			text, notes := made.Document.String(), strings.Join(made.Notes, "\n")
			parse(t, text)
			key, _, _ := strings.Cut(line, " ")
			if want != "" && !regexp.MustCompile(`(?m)^ +`+regexp.QuoteMeta(want)).MatchString(text) {
				t.Errorf("the file lacks %s:\n%s", want, text)
			}
			if want == "" && !strings.Contains(notes, file+":3: "+key) {
				t.Errorf("nothing is said of it: %s", notes)
			}
		})
	}
}

func TestMosquittoUsersAndListeners(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	passwords := write("pw", "alice:$7$101$x$y\nbob:$7$101$x$z\n")
	acl := write("acl", "topic read news/#\nuser alice\ntopic write a/#\ntopic deny a/secret\npattern readwrite own/%u/#\npattern read c/%c\n")
	made, err := FromMosquitto(write("mosquitto.conf", "password_file "+passwords+"\nacl_file "+acl+
		"\nlistener 1883\nlistener 9001\nprotocol websockets\nlistener 8883 0.0.0.0\ncafile /ca\ncertfile /c\nkeyfile /k\nrequire_certificate true\nmax_connections 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, notes := made.Document.String(), strings.Join(made.Notes, "\n")
	parse(t, text)
	for _, want := range []string{`publish: ["a/#", "own/alice/#"]`, `subscribe: ["own/alice/#"]`, `publish: ["own/bob/#"]`, `client_ca_file: "/ca"`, `":1883"`, `":9001"`, `"0.0.0.0:8883"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %s:\n%s", want, text)
		}
	}
	for _, want := range []string{"mqttdb passwd alice", "mqttdb passwd bob", "topic deny a/secret", "topic read news/#", "pattern read c/%c", "max_connections 3"} {
		if !strings.Contains(notes, want) {
			t.Errorf("nothing is said of %s:\n%s", want, notes)
		}
	}
}

func TestMosquittoErrors(t *testing.T) {
	if _, err := FromMosquitto("testdata/nothing.conf"); err == nil || !strings.Contains(err.Error(), "nothing.conf") {
		t.Error(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "loop.conf")
	if err := os.WriteFile(file, []byte("include_dir "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FromMosquitto(file); err == nil || !strings.Contains(err.Error(), "leads back") {
		t.Error(err)
	}
}

// mosquitto asks everybody for a username, an address on loopback here nobody:
// that is said.
func TestLoopbackNeedsNoUsername(t *testing.T) {
	for _, c := range []struct {
		name, conf string
		said       bool
	}{
		{"as it is by default", "listener 1883 127.0.0.1\n", true},
		{"asked for", "listener 1883 localhost\nallow_anonymous false\n", true},
		{"the same as before", "listener 1883 127.0.0.1\nallow_anonymous true\n", false},
		{"another address", "listener 1883 192.0.2.1\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mosquitto.conf")
			if err := os.WriteFile(file, []byte(c.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			made, err := FromMosquitto(file)
			if err != nil {
				t.Fatal(err)
			}
			if said := strings.Contains(strings.Join(made.Notes, "\n"), "need no username"); said != c.said {
				t.Errorf("notes %q", made.Notes)
			}
		})
	}
}

// Each user is named once, also if listeners share a file.
func TestUsersAreNamedOnce(t *testing.T) {
	dir := t.TempDir()
	passwords, file := filepath.Join(dir, "pw"), filepath.Join(dir, "mosquitto.conf")
	for name, text := range map[string]string{
		passwords: "ann:$7$101$x$y\nbob:$7$101$x$z\n",
		file:      "listener 1883 127.0.0.1\npassword_file " + passwords + "\nlistener 1884 127.0.0.1\npassword_file " + passwords + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := FromMosquitto(file)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(made.Notes, "\n")
	for _, name := range []string{"ann", "bob"} {
		if n := strings.Count(notes, "mqtt.users."+name); n != 1 {
			t.Errorf("%s is named %d times:\n%s", name, n, notes)
		}
	}
}

// What mosquitto says about its bridges, unless it is told not to, is not lost in
// silence: neither what local clients saw nor what the broker got.
func TestNotificationsAreMentioned(t *testing.T) {
	for _, c := range []struct{ name, conf, topic, will string }{
		{"by default", "", "$SYS/broker/connection/ID/state; set will", ""},
		{"a client id", "remote_clientid me\n", "$SYS/broker/connection/me/state", "$SYS/broker/connection/me/state"},
		{"a topic", "notification_topic my/state\n", "my/state", "my/state"},
		{"local only", "remote_clientid me\nnotifications_local_only true\n", "$SYS/broker/connection/me/state", ""},
		{"none", "notifications false\nremote_clientid me\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mosquitto.conf")
			if err := os.WriteFile(file, []byte("connection c\naddress h\ntopic a/# out\n"+c.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			made, err := FromMosquitto(file)
			if err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(made.Notes, "\n")
			if c.topic == "" && strings.Contains(notes, "notifications") || !strings.Contains(notes, c.topic) {
				t.Errorf("notes %q", notes)
			}
			will := ""
			if w := parse(t, made.Document.String()).Connections[0].Will; w != nil {
				will = w.Topic
			}
			if will != c.will {
				t.Errorf("the topic of the will is %q", will)
			}
		})
	}
}
