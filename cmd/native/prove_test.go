//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/tinyproxy"
	"github.com/mqttdb/mqttdb/types"
	"github.com/spf13/cobra"
)

// selfSigned writes a certificate for 127.0.0.1, which is its own authority.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test broker"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return file("cert.pem", "CERTIFICATE", cert), file("key.pem", "PRIVATE KEY", private)
}

// secured is a broker with TLS that wants a password, and the files to reach it.
func secured(t *testing.T) (b *mosquitto.Broker, caFile, passwordFile string) {
	t.Helper()
	certFile, keyFile := selfSigned(t)
	b = mosquitto.Start(t, mosquitto.WithUser("gw", "a pass$word"), mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile))
	passwordFile = filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(passwordFile, []byte("a pass$word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return b, certFile, passwordFile
}

// few are flags for a short proof.
var few = []string{"--messages", "300", "--kills", "1", "--cuts", "1"}

// A connection is taken out of the configuration of a gateway that runs, which goes
// on as if nothing was.
func TestProveBesideAGateway(t *testing.T) {
	t.Setenv(asGateway, "1")
	b, ca, password := secured(t)
	config := writeConfig(t, fmt.Sprintf(`connections:
  cloud:
    broker: mqtts://%s
    client_id: mine
    username: gw
    password_file: %s
    tls: {ca_file: %s}
    birth: {topic: state, payload: online}
  other:
    broker: mqtt://127.0.0.1:1
`, b.Addr(), password, ca))
	startGateway(t, config)
	publish := func(text string) {
		t.Helper()
		if code, _, stderr := command(t.Context(), "pub", "--config", config, "a/b", text); code != 0 {
			t.Fatal(stderr)
		}
	}
	publish("before")
	before := cloud(t, config, 1)
	links := func() int { return strings.Count(b.Log(), " as mine ") }
	had := links()
	code, stdout, stderr := command(t.Context(), append([]string{"prove", "--config", config, "cloud"}, few...)...)
	if code != 0 || strings.Count(stdout, "300 acked, 0 lost") != 2 || strings.Count(stdout, "as promised") != 2 || stderr != "" {
		t.Fatalf("%d\n%s%s", code, stdout, stderr)
	}
	publish("after")
	after := cloud(t, config, 2)
	if !after.Since.Equal(before.Since) || after.Outgoing.Accepted != before.Outgoing.Accepted+1 {
		t.Errorf("the gateway was\n%+v\nand is\n%+v", before, after)
	}
	if links() != had {
		t.Errorf("its client id has connected again:\n%s", b.Log())
	}
	left, err := os.ReadDir(filepath.Dir(config))
	if names := fmt.Sprint(left); err != nil || len(left) != 2 {
		t.Errorf("beside data and mqttdb.yaml there is %s, %v", names, err)
	}
}

// cloud waits until the connection has sent so many, and returns its status.
func cloud(t *testing.T, config string, sent uint64) types.Status {
	t.Helper()
	late := time.After(20 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		_, stdout, stderr := command(t.Context(), "status", "--config", config, "--json")
		var all []types.Status
		if err := json.Unmarshal([]byte(stdout), &all); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		i := slices.IndexFunc(all, func(s types.Status) bool { return s.Name == "cloud" })
		if all[i].State == types.Online && all[i].Outgoing.Sent == sent {
			return all[i]
		}
		select {
		case <-poll.C:
		case <-late:
			t.Fatalf("%+v", all)
		}
	}
}

// The ways to a broker that prove can go: it goes them, and so does its gateway.
func TestProveWays(t *testing.T) {
	t.Setenv(asGateway, "1")
	secure, ca, password := secured(t)
	plain := mosquitto.Start(t, mosquitto.WithWebSocket())
	proxy := tinyproxy.Start(t, url.UserPassword("me", "secret"))
	through := writeConfig(t, fmt.Sprintf("connections:\n  cloud: {broker: \"mqtt://%s\", proxy: \"%s\", sync: 500ms, bridge: true}\n", plain.Addr(), proxy.URL()))
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"URL", []string{"mqtt://" + plain.Addr()}, "sync: always"},
		{"MQTT 3.1.1 over TLS, with a password", []string{"--broker", "mqtts://" + secure.Addr(), "--username", "gw", "--password-file", password, "--ca-file", ca}, "mqtts://"},
		{"WebSocket", []string{"--broker", "ws://" + plain.WebSocketAddr() + "/mqtt", "--qos", "1,2", "--messages", "50"}, "ws://"},
		{"proxy", []string{"--config", through}, "sync: 500ms"},
		{"names", []string{"mqtt://" + plain.Addr(), "--client-id", "site", "--topic", "site/try"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"prove", "--dir", t.TempDir()}, few...)
			code, stdout, stderr := command(t.Context(), append(args, test.args...)...)
			if code != 0 || strings.Count(stdout, "as promised") != 2 || strings.Count(stdout, "1 kills  1 cuts") != 2 || !strings.Contains(stdout, test.says) {
				t.Errorf("%d\n%s%s", code, stdout, stderr)
			}
		})
	}
	if !strings.Contains(proxy.Log(), plain.Addr()) {
		t.Error("nothing went through the proxy")
	}
	if !strings.Contains(plain.Log(), " as site-") {
		t.Error("no client id begins with site")
	}
}

// A mistake in the command line is one line that says what to do.
func TestProveMistakes(t *testing.T) {
	t.Chdir(t.TempDir()) // where no configuration is
	t.Setenv("MQTTDB_BROKER", "")
	two := writeConfig(t, "connections:\n  cloud: {broker: \"mqtt://127.0.0.1:1\"}\n  other: {broker: \"mqtt://127.0.0.1:1\"}\n")
	const url = "mqtt://127.0.0.1:1"
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no broker", nil, 2, "which broker? Name it: mqttdb prove --broker mqtt://localhost"},
		{"no URL", []string{"--broker", "localhost"}, 2, "the URL is not a URL; write it like mqtt://host:1883"},
		{"password in the URL", []string{"--broker", "mqtt://u:p@localhost"}, 2, "the URL contains credentials; move them to --username and --password-file"},
		{"which connection", []string{"--config", two}, 2, "which connection? " + two + " has cloud, other"},
		{"unknown connection", []string{"--config", two, "clod"}, 2, `no connection "clod" in ` + two + ", which has cloud, other"},
		{"connection and URL", []string{"cloud", "--broker", url}, 2, "CONNECTION and --broker exclude each other"},
		{"file and URL", []string{"--config", two, "--broker", url}, 2, "a URL and --config exclude each other: write the URL into the file, as connections.<name>.broker"},
		{"user of a connection", []string{"--config", two, "cloud", "--username", "x"}, 2, "--username and the files are for --broker: a connection of the configuration has its own"},
		{"QoS 3", []string{url, "--qos", "3"}, 2, "--qos is 0, 1 and 2, each at most once, and not [3]"},
		{"QoS twice", []string{url, "--qos", "1,1"}, 2, "--qos is 0, 1 and 2, each at most once, and not [1 1]"},
		{"QoS 0 from the broker", []string{url, "--qos", "0", "--incoming"}, 2, "--incoming is for QoS 1 and 2: nothing at QoS 0 is stored by the broker for a gateway that is down"},
		{"no message", []string{url, "--messages", "0"}, 2, "--messages is at least 1, not 0"},
		{"fewer than none", []string{url, "--kills", "-1"}, 2, "--kills and --cuts are 0 or more"},
		{"no backlog", []string{url, "--backlog", "0"}, 2, "--backlog is at least 1, not 0"},
		{"a filter", []string{url, "--topic", "a/#"}, 2, `--topic "a/#" is none that can be published to`},
		{"the broker's topics", []string{url, "--topic", "$SYS/a"}, 2, `--topic "$SYS/a" is none that can be published to`},
		{"no password file", []string{url, "--password-file", "nope"}, 1, "--password-file: open nope: no such file or directory"},
		{"half a key", []string{"mqtts://127.0.0.1:1", "--cert-file", two}, 2, "tls: cert_file and key_file belong together; set both or none"},
		{"no TLS", []string{url, "--ca-file", two}, 2, "--ca-file, --cert-file: one is given, but the broker's URL asks for no encryption; use mqtts:// or wss://, or leave that out"},
		{"no certificate", []string{"mqtts://127.0.0.1:1", "--ca-file", two}, 1, "mqtts://127.0.0.1:1: --ca-file: " + two + " holds no certificate in PEM form"},
		{"nobody there", []string{url}, 1, "mqtt://127.0.0.1:1: connect to 127.0.0.1:1: connection refused (nothing listens there: check the port, and that the broker runs)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := command(t.Context(), append([]string{"prove"}, test.args...)...)
			if code != test.code || stderr != "mqttdb: "+test.says+"\n" || stdout != "" {
				t.Errorf("%d %s%s\nwant %d mqttdb: %s", code, stdout, stderr, test.code, test.says)
			}
		})
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// The shell is offered the connections of the configuration, which needs no gateway.
func TestProveCompletion(t *testing.T) {
	config := writeConfig(t, "connections:\n  cloud: {broker: \"mqtt://127.0.0.1:1\"}\n  other: {broker: \"mqtt://127.0.0.1:1\"}\n")
	if _, stdout, _ := command(t.Context(), cobra.ShellCompRequestCmd, "prove", "--config", config, ""); !strings.HasPrefix(stdout, "cloud\nother\n") {
		t.Errorf("offered: %s", stdout)
	}
}

// Where no scratch store can be made it is said which flag helps.
func TestProveWithoutADisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command(t.Context(), "prove", "mqtt://127.0.0.1:1", "--dir", file)
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "mqttdb: make a scratch store in "+file+": ") || !strings.HasSuffix(stderr, "by --dir\n") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
}
