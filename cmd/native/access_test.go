//go:build !js

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

const testToken = "a token that nobody guesses"

// certify writes a certificate for gw.example, and its key.
func certify(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "gw.example"}, DNSNames: []string{"gw.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"c.pem": {Type: "CERTIFICATE", Bytes: cert}, "k.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// guarded writes a configuration with a token and TLS, and returns its name.
func guarded(t *testing.T, lines string) string {
	t.Helper()
	dir := t.TempDir()
	certify(t, dir)
	name := filepath.Join(dir, "mqttdb.yaml")
	text := fmt.Sprintf("data_dir: data\nmqtt: {listen: %q}\nhttp: {listen: %q, token_file: token, allowed_hosts: [gw.example], tls: {cert_file: c.pem, key_file: k.pem}}\n%s", freeAddr(t), freeAddr(t), lines)
	for file, content := range map[string]string{name: text, filepath.Join(dir, "token"): strings.ReplaceAll(testToken, " ", "-") + "\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// The commands find token and certificate in the configuration, and trust no other
// gateway with the token.
func TestCommandsWithTokenAndTLS(t *testing.T) {
	config := guarded(t, cloudConfig)
	startGateway(t, config)
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"pause", "cloud"}, {"resume", "cloud"}, {"clear", "cloud", "--yes"}, {"compact", "cloud"}, {"messages", "cloud"}, {"export", "cloud"}, {"reload"}} {
		if code, _, stderr := command(t.Context(), append(args, "--config", config)...); code != 0 {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
	}
	dir := filepath.Dir(config)
	change := func(file, text string) func() {
		before, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(filepath.Join(dir, file), before, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused := func(what, says string) {
		t.Helper()
		if code, _, stderr := command(t.Context(), "status", "--config", config); code != 1 || !strings.Contains(stderr, says) || strings.Contains(stderr, "wrong-wrong") {
			t.Errorf("%s: %d %s", what, code, stderr)
		}
	}
	restore := change("token", "wrong-wrong-wrong-wrong")
	refused("a wrong token", "the token is wrong (send the header")
	restore()
	restore = change("token", "short")
	refused("a token that is too short", "openssl rand -hex 32")
	restore()
	other := t.TempDir()
	certify(t, other)
	foreign, err := os.ReadFile(filepath.Join(other, "c.pem"))
	if err != nil {
		t.Fatal(err)
	}
	// Beside the configuration of the gateway, which notices changed files, is one that
	// names another certificate.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "foreign.pem"), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(dir, "beside.yaml")
	if err := os.WriteFile(beside, []byte(strings.Replace(string(text), "c.pem", "foreign.pem", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t.Context(), "status", "--config", beside); code != 1 || !strings.Contains(stderr, "another certificate than") {
		t.Errorf("another gateway: %d %s", code, stderr)
	}
}

// serveLogged runs a gateway until the test ends, and returns what it logs.
func serveLogged(t *testing.T, config string) *lockedBuffer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var log lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- runTo(ctx, []string{"serve", "--log", "debug", "--config", config}, strings.NewReader(""), &log, &log)
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d: %s", code, log.String())
		}
	})
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for range poll.C {
		if code, _, _ := command(t.Context(), "status", "--config", config); code == 0 {
			return &log
		}
	}
	panic("unreachable")
}

// What is secret is in no answer, no log, no metric, no message, and in nothing that a
// command says or writes.
func TestSecretsAreNotShown(t *testing.T) {
	broker := mosquitto.Start(t)
	config := guarded(t, fmt.Sprintf(`connections:
  cloud: {broker: "mqtt://%s", client_id: test, username: gw, password_file: pw}
  beyond: {broker: "wss://127.0.0.1:1/mqtt?key=urlsecret-3", client_id: test2, username: gw, password_file: pw, proxy: "http://pxuser:pxsecret-1@127.0.0.1:1"}
`, broker.Addr()))
	if err := os.WriteFile(filepath.Join(filepath.Dir(config), "pw"), []byte("pwsecret-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := serveLogged(t, config)
	cfg, err := loadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gatewayOf(&cfg.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	ask := func(method, path string) {
		t.Helper()
		err := g.do(t.Context(), method, path, url.Values{"topic": {"a/b"}}, nil, func(r io.Reader) error {
			_, err := io.Copy(&seen, r)
			return err
		})
		if err != nil {
			fmt.Fprintln(&seen, err)
		}
	}
	for poll := time.NewTicker(20 * time.Millisecond); !strings.Contains(seen.String(), "connection refused"); <-poll.C { // by the proxy
		ask("GET", "/api/connections")
	}
	for _, path := range []string{"/metrics", "/api/events", "/api/history", "/api/connections/beyond", "/api/connections/cloud/messages", "/api/reload", "/healthz", "/readyz", "/nothing"} {
		ask("GET", path)
	}
	for _, path := range []string{"/api/publish", "/api/reload", "/api/connections/beyond/pause", "/api/connections/beyond/clear"} {
		ask("POST", path)
	}
	dialer := websocket.Dialer{TLSClientConfig: g.client.Transport.(*http.Transport).TLSClientConfig}
	conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(g.base, "https")+"/api/stream", http.Header{"Authorization": {"Bearer " + g.token}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, hello, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	seen.Write(hello)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	exported := filepath.Join(t.TempDir(), "exported")
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"check", config}, {"check", config, "--connect"}, {"inspect", "cloud"}, {"inspect", "cloud", "--entries", "--json"}, {"verify", "cloud"},
		{"messages", "cloud"}, {"messages", "_local", "--queue", "retained", "--json"}, {"export", "cloud", "-o", exported}, {"compact"}, {"reload"},
		{"sub", "$mqttdb/+/status", "-v", "--count", "1"}, {"version"},
	} {
		if args[0] != "check" && args[0] != "version" {
			args = append(args, "--config", config)
		}
		_, stdout, stderr := command(ctx, args...)
		fmt.Fprintln(&seen, args, stdout, stderr)
	}
	for _, file := range []string{exported, filepath.Join(filepath.Dir(config), "data")} {
		err := filepath.WalkDir(file, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(name)
			seen.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(seen.String(), `"name":"beyond"`) || !strings.Contains(seen.String(), "mqttdb_build_info") || !strings.Contains(seen.String(), "CONNECTION  TOPICS HERE") || !strings.Contains(seen.String(), "$mqttdb/") || !strings.Contains(log.String(), "by request") {
		t.Fatalf("too little was seen: %s\n%s", seen.String(), log.String())
	}
	for _, secret := range []string{"pxsecret-1", "pwsecret-2", "urlsecret-3", g.token} {
		if strings.Contains(seen.String(), secret) {
			t.Errorf("%s is in an answer", secret)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, log.String())
		}
	}
}

// How a connection does is a retained topic of the local broker.
func TestStatusTopic(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	startGateway(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var heard lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- runTo(ctx, []string{"sub", "--config", config, "-v", "$mqttdb/+/status"}, strings.NewReader(""), &heard, os.Stderr)
	}()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	await := func(text string) {
		t.Helper()
		for !strings.Contains(heard.String(), text) {
			select {
			case <-poll.C:
			case <-ctx.Done():
				t.Fatalf("no %s in %s", text, heard.String())
			}
		}
	}
	await(`$mqttdb/cloud/status {"name":"cloud"`)
	if code, _, stderr := command(ctx, "pause", "--config", config, "cloud"); code != 0 {
		t.Fatal(stderr)
	}
	await(`"state":"paused"`)
	if strings.Contains(heard.String(), "_local") {
		t.Errorf("what is no connection is published: %s", heard.String())
	}
	cancel()
	<-ended
}

// A token that does not protect is refused before anything is opened.
func TestTokenThatDoesNotProtect(t *testing.T) {
	for name, content := range map[string]string{"empty": "\n", "short": "hunter2", "none": ""} {
		config := guarded(t, cloudConfig)
		file := filepath.Join(filepath.Dir(config), "token")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "none" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		code, _, stderr := command(t.Context(), "serve", "--config", config)
		if code != 1 || !strings.Contains(stderr, "http.token_file: ") || strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: %d %s", name, code, stderr)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(config), "data")); !os.IsNotExist(err) {
			t.Errorf("%s: there is a data directory: %v", name, err)
		}
	}
}
