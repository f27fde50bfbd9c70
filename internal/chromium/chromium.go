// Package chromium runs a program that was built for js/wasm in a Worker of a real, headless
// Chromium.
package chromium

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed page
var page embed.FS

// Program is what runs.
type Program struct {
	Wasm    string    // a file
	Args    []string  // without the name of the program
	Output  io.Writer // of the program and, where it goes wrong, of the browser
	Profile string    // directory of the browser's data
}

// start is how long the browser may take until the program runs. Machines that test are busy.
const start = 90 * time.Second

// Run runs the program to its end and returns its exit code.
func Run(ctx context.Context, p Program) (int, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return 0, fmt.Errorf("%w: run scripts/setup.sh", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	begun, exited := make(chan struct{}), make(chan int, 1)
	server := &http.Server{Handler: handler(p, sync.OnceFunc(func() { close(begun) }), exited), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	noise := &tail{}
	browser := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+p.Profile, "http://"+l.Addr().String()+"/page/index.html")
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its helpers are killed with it
	browser.Stderr = noise
	if err := browser.Start(); err != nil {
		return 0, err
	}
	died := make(chan struct{})
	go func() {
		_ = browser.Wait()
		close(died)
	}()
	defer func() {
		_ = syscall.Kill(-browser.Process.Pid, syscall.SIGKILL)
		<-died
	}()
	late := time.AfterFunc(start, func() { _ = syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	for {
		select {
		case <-begun:
			late.Stop()
			begun = nil
		case code := <-exited:
			return code, nil
		case <-died:
			return 0, fmt.Errorf("chromium has ended, or did not run the program within %s\n%s", start, noise)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func handler(p Program, begin func(), exited chan<- int) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /page/", http.FileServerFS(page))
	mux.HandleFunc("GET /wasm_exec.js", func(w http.ResponseWriter, q *http.Request) {
		http.ServeFile(w, q, filepath.Join(goroot(), "lib", "wasm", "wasm_exec.js"))
	})
	mux.HandleFunc("GET /program.wasm", func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		http.ServeFile(w, q, p.Wasm)
	})
	mux.HandleFunc("GET /args", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(append([]string{"program"}, p.Args...))
	})
	mux.HandleFunc("POST /begun", func(http.ResponseWriter, *http.Request) { begin() })
	mux.HandleFunc("POST /output", func(_ http.ResponseWriter, q *http.Request) { _, _ = io.Copy(p.Output, q.Body) })
	mux.HandleFunc("POST /exit", func(_ http.ResponseWriter, q *http.Request) {
		code, err := strconv.Atoi(q.FormValue("code"))
		if err != nil {
			code = 2
		}
		select {
		case exited <- code:
		default: // once is enough
		}
	})
	return mux
}

func goroot() string {
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	return os.Getenv("GOROOT")
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-4096):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
