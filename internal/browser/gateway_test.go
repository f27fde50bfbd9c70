package browser

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gateway is one in a process of its own, which the page's test may stop, start and
// configure by requests to its steering.
type gateway struct {
	t        *testing.T
	dir, url string
	program  string
	env      []string

	mu    sync.Mutex
	serve *exec.Cmd
	ended chan error
}

// build compiles the gateway and returns the program.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mqttdb")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/mqttdb/mqttdb/cmd/native").CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, out)
	}
	return program
}

// start runs a gateway until the test ends: with a configuration, and what is to stand
// under http beside the address.
func start(t *testing.T, program, connections, http string, env ...string) *gateway {
	t.Helper()
	listen := freeAddr(t)
	g := &gateway{t: t, dir: t.TempDir(), url: "http://" + listen, program: program, env: append(os.Environ(), env...)}
	head := fmt.Sprintf("data_dir: data\nmqtt: {listen: %q}\nhttp: {listen: %q%s}\nconnections:\n", freeAddr(t), listen, http)
	for name, text := range map[string]string{"head": head, "mqttdb.yaml": head + connections, "token": token + "\n", "password": password + "\n"} {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.end(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// begin starts the process and returns when it answers.
func (g *gateway) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(g.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	g.serve = exec.Command(g.program, "serve", "--config", filepath.Join(g.dir, "mqttdb.yaml"))
	g.serve.Stdout, g.serve.Stderr, g.serve.Env = log, log, g.env
	if err := g.serve.Start(); err != nil {
		return err
	}
	g.ended = make(chan error, 1)
	go func() { g.ended <- g.serve.Wait() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case err := <-g.ended:
			g.ended <- err
			return fmt.Errorf("the gateway ended: %v\n%s", err, g.log())
		case <-poll.C:
		}
		if res, err := http.Get(g.url + "/healthz"); err == nil {
			return res.Body.Close()
		}
	}
}

// end stops the process.
func (g *gateway) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.serve.Process.Signal(syscall.SIGTERM)
	err := <-g.ended
	g.ended <- nil
	if err != nil {
		return fmt.Errorf("the gateway ended: %w\n%s", err, g.log())
	}
	return nil
}

func (g *gateway) log() []byte {
	text, _ := os.ReadFile(filepath.Join(g.dir, "log"))
	return text
}

// steering serves POST /stop, /start and /configure (body: the connections) and GET /log.
func (g *gateway) steering() string {
	mux := http.NewServeMux()
	does := func(f func(r *http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := f(r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	}
	mux.HandleFunc("POST /stop", does(func(*http.Request) error { return g.end() }))
	mux.HandleFunc("POST /start", does(func(*http.Request) error { return g.begin() }))
	mux.HandleFunc("POST /configure", does(func(r *http.Request) error {
		connections, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		head, err := os.ReadFile(filepath.Join(g.dir, "head"))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(g.dir, "mqttdb.yaml"), append(head, connections...), 0o600)
	}))
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(g.log()) })
	s := httptest.NewServer(mux)
	g.t.Cleanup(s.Close)
	return s.URL
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
