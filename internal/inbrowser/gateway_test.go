package inbrowser

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The gateway's own listener is a broker for pages of the origins that it allows.
func TestGateway(t *testing.T) {
	s := newScene(t, startGateway)
	s.listen("")
	s.play("calls", "SHARED=true")
}

// startGateway is the starter of a gateway that forwards nothing.
func startGateway(t *testing.T, origin string) (string, string) {
	t.Helper()
	dir := t.TempDir()
	binary, config, mqtt, websocket := filepath.Join(dir, "mqttdb"), filepath.Join(dir, "mqttdb.yaml"), freeAddr(t), freeAddr(t)
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/mqttdb/mqttdb/cmd/native").CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, out)
	}
	text := fmt.Sprintf("data_dir: %s\nmqtt: {listen: %q, websocket: %q, allowed_origins: [%q]}\nhttp: {listen: %q}\nconnections: {}\n",
		filepath.Join(dir, "data"), mqtt, websocket, origin, freeAddr(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(binary, "serve", "--config", config)
	serve.Stdout, serve.Stderr = log, log
	serve.SysProcAttr = orphanless()
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
		if conn, err := net.Dial("tcp", websocket); err == nil {
			conn.Close()
			break
		}
	}
	return mqtt, websocket
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
