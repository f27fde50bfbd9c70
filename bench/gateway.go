//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// gateway is the real gateway in a process of its own.
type gateway struct {
	dir        string // of its data and its configuration
	mqtt, http string // where it listens
	process    *exec.Cmd
	exited     chan error
}

// How often a gateway compacts: as it does by default; often, so that nobody waits for it
// longer than needed; or never while it is measured.
const (
	usual = config.DefaultCompaction
	often = 2 * time.Second
	never = time.Hour
)

// listening is what a gateway prints when it is up.
var listening = regexp.MustCompile(`^local MQTT at (\S+), status at http://([^/]+)/`)

// startGateway starts the gateway on the data in dir and waits until it
// listens. It forwards everything to broker. lines are more of what the connection
// is configured with.
func startGateway(ctx context.Context, binary, dir, broker string, compaction time.Duration, lines ...string) (*gateway, error) {
	file, logName := filepath.Join(dir, "mqttdb.yaml"), filepath.Join(dir, "log")
	text := fmt.Sprintf(`data_dir: data
mqtt: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
connections:
  bench:
    broker: mqtt://%s
    compaction_interval: %v
`, broker, compaction)
	for _, line := range lines {
		text += "    " + line + "\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logName, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	g := &gateway{dir: dir, exited: make(chan error, 1)}
	g.process = exec.Command(binary, "serve", "--config", file)
	g.process.Stderr = log
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := g.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := g.process.Start(); err != nil {
		return nil, err
	}
	up := make(chan [2]string, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				up <- [2]string{m[1], m[2]}
			}
		}
		g.exited <- g.process.Wait()
	}()
	select {
	case addrs := <-up:
		g.mqtt, g.http = addrs[0], addrs[1]
		return g, nil
	case err := <-g.exited:
		why, _ := os.ReadFile(logName)
		return nil, fmt.Errorf("the gateway ended at once: %w: %s", err, why)
	case <-ctx.Done():
		g.kill()
		return nil, ctx.Err()
	}
}

// kill ends the gateway as a crash would, and waits until it is gone.
func (g *gateway) kill() {
	_ = g.process.Process.Kill() // it may be gone
	<-g.exited
}

func (g *gateway) pid() int { return g.process.Process.Pid }

// status asks the gateway how its queue does.
func (g *gateway) status(ctx context.Context) (types.QueueStatus, error) {
	var s types.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.http+"/api/connections/bench", nil)
	if err != nil {
		return s.Outgoing, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s.Outgoing, err
	}
	defer res.Body.Close()
	err = json.NewDecoder(res.Body).Decode(&s)
	return s.Outgoing, err
}

// await asks until condition holds: after what is pending cannot have become much
// less, for each question takes the gateway's time.
func (g *gateway) await(ctx context.Context, condition func(types.QueueStatus) bool) error {
	for {
		s, err := g.status(ctx)
		if err != nil {
			return fmt.Errorf("status of the gateway: %w", err)
		}
		if condition(s) {
			return nil
		}
		pause := time.NewTimer(min(max(time.Duration(s.Pending)*2*time.Microsecond, time.Millisecond), 200*time.Millisecond))
		select {
		case <-pause.C:
		case err := <-g.exited:
			g.exited <- err
			return fmt.Errorf("the gateway ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// queueDir is where the outgoing queue lies.
func (g *gateway) queueDir() string { return filepath.Join(g.dir, "data", "bench", "outgoing") }
