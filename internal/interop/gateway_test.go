//go:build unix

package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// gateway is the real program. It comes back to the same port after a kill. What
// is published below "stored/" waits in it for a broker that is not there.
type gateway struct {
	t      testing.TB
	config string // file
	addr   string // of its local broker

	cmd    *exec.Cmd
	exited chan struct{}
	api    string
	log    *output
}

// startGateway starts a gateway for the time of a test.
func startGateway(t testing.TB) *gateway {
	t.Helper()
	g := &gateway{t: t, addr: freeAddr(t), config: filepath.Join(t.TempDir(), "mqttdb.yaml")}
	text := fmt.Sprintf(`data_dir: data
mqtt: {listen: %q}
http: {listen: "127.0.0.1:0"}
connections:
  cloud:
    broker: mqtt://127.0.0.1:1
    forward: [{topic: "stored/#"}]
`, g.addr)
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	g.start()
	return g
}

// listening is what a gateway prints when it is up.
var listening = regexp.MustCompile(`^local MQTT at \S+, status at (http://[^/]+)/`)

// start starts it and waits until it serves.
func (g *gateway) start() {
	g.t.Helper()
	g.cmd, g.exited, g.log = exec.Command(programs.gateway, "serve", "--config", g.config), make(chan struct{}), &output{}
	g.cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // nothing of ours configures it
	g.cmd.SysProcAttr = orphanless()
	g.cmd.Stderr = g.log
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	up, exited, cmd := make(chan string, 1), g.exited, g.cmd
	go func() {
		defer close(exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if at := listening.FindStringSubmatch(lines.Text()); at != nil {
				up <- at[1]
			}
		}
		cmd.Wait()
	}()
	select {
	case g.api = <-up:
	case <-exited:
		g.t.Fatalf("the gateway ended at once:\n%s", g.log)
	case <-time.After(patience):
		g.t.Fatalf("the gateway does not serve:\n%s", g.log)
	}
}

// kill ends it as a crash would.
func (g *gateway) kill() {
	g.cmd.Process.Kill()
	<-g.exited
}

// stored is what its queue has.
func (g *gateway) stored() types.QueueStatus {
	g.t.Helper()
	res, err := http.Get(g.api + "/api/connections/cloud")
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	var s types.Status
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		g.t.Fatal(err)
	}
	return s.Outgoing
}

// freeAddr finds a free port below those that the kernel gives away by itself,
// so that nobody gets it while a killed gateway is to come back to it.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port from 10000 to 32000")
	return ""
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// output is what a program says, for whoever has to find out why it failed.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed when more has come; nil: nobody waits
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until what was said holds text n times.
func (o *output) await(t testing.TB, text string, n int) {
	t.Helper()
	for end := time.After(patience); ; {
		o.mu.Lock()
		if strings.Count(o.text.String(), text) >= n {
			o.mu.Unlock()
			return
		}
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%q was not said %d times:\n%s", text, n, o)
		}
	}
}
