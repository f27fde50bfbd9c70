package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// An operator sees three connections, one of them down, and what he does with them;
// wide and on a phone, light and dark.
func TestPage(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(root, "scripts", "browser.sh")).CombinedOutput(); err != nil {
		t.Fatalf("install playwright-core: %v\n%s", err, out)
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run scripts/setup.sh", err)
	}
	gateway := start(t, mosquitto.Start(t).Addr())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	look := exec.CommandContext(ctx, "node", "page/test.mjs")
	look.Env = append(os.Environ(), "GATEWAY="+gateway, "CHROMIUM="+chromium, "PROFILES="+t.TempDir(),
		"MODULES="+filepath.Join(root, ".cache", "browser", "node_modules"))
	if out, err := look.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// start runs a gateway until the test ends, and returns its URL when it answers.
func start(t *testing.T, broker string) string {
	t.Helper()
	dir := t.TempDir()
	binary, config, listen := filepath.Join(dir, "mqttdb"), filepath.Join(dir, "mqttdb.yaml"), freeAddr(t)
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/mqttdb/mqttdb/cmd/native").CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, out)
	}
	text := fmt.Sprintf("data_dir: %s\nmqtt: {listen: %q}\nhttp: {listen: %q}\nconnections:\n"+
		"  cloud: {broker: \"mqtt://%s\", client_id: cloud}\n  edge: {broker: \"mqtt://%s\", client_id: edge}\n  plant: {broker: \"mqtt://127.0.0.1:1\", client_id: plant}\n",
		filepath.Join(dir, "data"), freeAddr(t), listen, broker, broker)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(binary, "serve", "--config", config)
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			said, _ := os.ReadFile(log.Name())
			t.Errorf("serve: %v\n%s", err, said)
		}
		log.Close()
	})
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for range poll.C {
		select {
		case err := <-ended:
			said, _ := os.ReadFile(log.Name())
			ended <- err
			t.Fatalf("serve ended: %v\n%s", err, said)
		default:
		}
		if res, err := http.Get("http://" + listen + "/healthz"); err == nil {
			res.Body.Close()
			return "http://" + listen
		}
	}
	panic("unreachable")
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
