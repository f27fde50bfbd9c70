//go:build unix

package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// gateway is the real program, started again and again on the same
// configuration. Its ports are others after each start. Only the test's
// goroutine starts and ends it.
type gateway struct {
	t      testing.TB
	config string // file
	slow   time.Duration

	changed pulse
	mu      sync.Mutex
	running *process // nil while it does not serve
}

// connectionName is the connection that all these gateways have.
const connectionName = "cloud"

// newGateway writes a configuration with one connection to the broker; more is
// added to that connection, a line each.
func newGateway(t testing.TB, broker string, more ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	text := "data_dir: data\nmqtt:\n  listen: 127.0.0.1:0\nhttp:\n  listen: 127.0.0.1:0\nconnections:\n  " +
		connectionName + ":\n    broker: " + broker + "\n"
	for _, line := range more {
		text += "    " + line + "\n"
	}
	return gatewayOn(t, write(t, dir, "mqttdb.yaml", text))
}

// gatewayOn takes a configuration that is written.
func gatewayOn(t testing.TB, config string) *gateway {
	g := &gateway{t: t, config: config}
	t.Cleanup(g.kill)
	return g
}

// write writes a file into dir and returns its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// queueDir is where the gateway keeps what it has to send.
func (g *gateway) queueDir() string {
	return filepath.Join(filepath.Dir(g.config), "data", connectionName, "outgoing")
}

// start starts it and waits until it serves.
func (g *gateway) start() {
	g.t.Helper()
	p := g.launch()
	select {
	case <-p.announced:
	case <-p.exited:
	case <-time.After(patience):
	}
	if !p.serves() {
		p.signal(syscall.SIGQUIT) // a silent one tells where it hangs
		<-p.exited
		g.t.Fatalf("the gateway did not start:\n%s", p.log)
	}
	if _, err := p.statuses(); err != nil {
		g.t.Fatalf("the gateway says that it serves, but: %v\n%s", err, p.log)
	}
	g.slow = max(g.slow, time.Since(p.started))
}

// launch starts it without waiting.
func (g *gateway) launch() *process {
	g.t.Helper()
	p, err := launch(nil, "serve", "--config", g.config)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	g.running = p
	g.mu.Unlock()
	go func() {
		select {
		case <-p.announced:
			g.changed.tell()
		case <-p.exited:
		}
	}()
	return p
}

// target is the address for MQTT clients, when there is one.
func (g *gateway) target(ctx context.Context) (string, error) {
	for {
		next := g.changed.next()
		g.mu.Lock()
		p := g.running
		g.mu.Unlock()
		if p != nil && p.serves() {
			return p.mqtt, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// kill ends it at once.
func (g *gateway) kill() {
	if p := g.leave(); p != nil {
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

// stop ends it as a service manager does, and returns its exit status and how
// long that took.
func (g *gateway) stop() (code int, took time.Duration) {
	g.t.Helper()
	p := g.leave()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT)
		<-p.exited
		g.t.Fatalf("the gateway did not end:\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(began)
}

// leave forgets the process, so that clients wait for the next one.
func (g *gateway) leave() *process {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.running
	g.running = nil
	return p
}

// freeze stops it where it is.
func (g *gateway) freeze() { g.running.signal(syscall.SIGSTOP) }

// thaw lets it go on.
func (g *gateway) thaw() { g.running.signal(syscall.SIGCONT) }

// log is what it said since its last start.
func (g *gateway) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == nil {
		return "it is not running"
	}
	return g.running.log.String()
}

// status asks it about its connection.
func (g *gateway) status() types.Status {
	g.t.Helper()
	all, err := g.running.statuses()
	if err != nil || len(all) == 0 || all[0].Name != connectionName {
		g.t.Fatalf("status: %v %+v\n%s", err, all, g.log())
	}
	return all[0]
}

// post makes it do something with its connection.
func (g *gateway) post(what string) {
	g.t.Helper()
	answer, err := http.Post("http://"+g.running.api+"/api/connections/"+connectionName+what, "application/json", nil)
	if err != nil {
		g.t.Fatalf("%s: %v\n%s", what, err, g.log())
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %s\n%s", what, answer.Status, g.log())
	}
}

// process is one run of the program.
type process struct {
	cmd       *exec.Cmd
	started   time.Time
	announced chan struct{} // closed once it serves
	mqtt, api string        // where, then
	exited    chan struct{}
	out       *tail // what it printed
	log       *tail // what it logged
}

var announcement = regexp.MustCompile(`^local MQTT at (\S+), status at http://([^/]+)/`)

// launch runs the program. change may change how.
func launch(change func(*exec.Cmd), args ...string) (*process, error) {
	p := &process{
		cmd: exec.Command(run.binary, args...), announced: make(chan struct{}), exited: make(chan struct{}),
		out: &tail{}, log: &tail{},
	}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // nothing of ours configures it
	p.cmd.SysProcAttr = orphanless()
	p.cmd.Stderr = p.log
	if change != nil {
		change(p.cmd)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.out.Write(append(lines.Bytes(), '\n'))
			if at := announcement.FindStringSubmatch(lines.Text()); at != nil && p.mqtt == "" {
				p.mqtt, p.api = at[1], at[2]
				close(p.announced)
			}
		}
		p.cmd.Wait()
	}()
	return p, nil
}

// serves says whether it ever did.
func (p *process) serves() bool {
	select {
	case <-p.announced:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) {
	p.cmd.Process.Signal(s)
	if s != syscall.SIGSTOP {
		p.cmd.Process.Signal(syscall.SIGCONT) // a frozen one would not hear it
	}
}

// statuses asks for the statuses of all connections.
func (p *process) statuses() ([]types.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.api+"/api/connections", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %w", answer.Status, body, err)
	}
	var all []types.Status
	return all, json.Unmarshal(body, &all)
}

// runToEnd runs the program until it exits by itself.
func runToEnd(t testing.TB, change func(*exec.Cmd), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p, err := launch(change, args...)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.exited
		t.Fatalf("mqttdb %q did not end:\n%s", args, p.log)
	}
	return p.cmd.ProcessState.ExitCode(), p.out.String(), p.log.String()
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() > 64<<10 {
		l.text.Next(32 << 10)
	}
	return l.text.Write(b)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
