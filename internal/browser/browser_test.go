package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

const (
	token    = "the-token-of-the-test-of-the-page"
	password = "the-password-of-the-test-of-the-page"
)

// An operator sees three connections, one of them down, and what he does with them;
// wide and on a phone, light and dark. The broker hangs up on what is larger than 2,000
// bytes, which makes dead letters.
func TestPage(t *testing.T) {
	look := prepare(t)
	broker := mosquitto.Start(t, mosquitto.WithConfig("max_packet_size 2000")).Addr()
	program := build(t)
	connections := fmt.Sprintf("  cloud: {broker: \"mqtt://%s\", client_id: cloud}\n  edge: {broker: \"mqtt://%s\", client_id: edge, max_attempts: 1}\n"+
		"  plant: {broker: \"mqtt://127.0.0.1:1\", client_id: plant}\n", broker, broker)
	open := start(t, program, connections, "")
	guarded := start(t, program, fmt.Sprintf("  beyond: {broker: \"wss://127.0.0.1:1/mqtt?key=%[2]s\", client_id: beyond, username: gw, password_file: password, proxy: \"http://px:%[2]s@127.0.0.1:1\"}\n"+
		"  cloud: {broker: \"mqtt://%[1]s\", client_id: guarded, username: gw, password_file: password}\n", broker, password), ", token_file: token", "MQTTDB_DEMONSTRATING=1")
	look(5*time.Minute, "test.mjs", "GATEWAY="+open.url, "STEERING="+open.steering(), "CONNECTIONS="+connections,
		"GUARDED="+guarded.url, "TOKEN="+token, "PASSWORD="+password)
	for _, secret := range []string{token, password} {
		if strings.Contains(string(guarded.log()), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// prepare installs what drives Chromium, and returns what runs one of the scripts of page
// with an environment: where that fails, so does the test.
func prepare(t *testing.T) func(most time.Duration, script string, env ...string) {
	t.Helper()
	root, chromium := tools(t)
	return func(most time.Duration, script string, env ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		look := exec.CommandContext(ctx, "node", filepath.Join("page", script))
		look.Env = append(os.Environ(), "CHROMIUM="+chromium, "PROFILES="+t.TempDir(), "MODULES="+filepath.Join(root, ".cache", "browser", "node_modules"))
		look.Env = append(look.Env, env...)
		out, err := look.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", script, err)
		}
		t.Logf("%s", out)
	}
}

// tools installs what drives Chromium, and returns the root of the repository and where
// Chromium is.
func tools(t *testing.T) (root, chromium string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(root, "scripts", "browser.sh")).CombinedOutput(); err != nil {
		t.Fatalf("install playwright-core: %v\n%s", err, out)
	}
	if chromium, err = exec.LookPath("chromium"); err != nil {
		t.Fatalf("%v: run scripts/setup.sh", err)
	}
	return root, chromium
}

// What the page remembers is right, also across a time without contact.
func TestModel(t *testing.T) {
	if out, err := exec.Command("node", "--test", "page/model.test.mjs").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
