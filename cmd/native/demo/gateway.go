//go:build !js

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// gateway is the real gateway, in a process of its own so that it can be killed.
type gateway struct {
	mqtt, http, broker, dataDir string

	cmd    *exec.Cmd
	log    *os.File
	exited chan error
}

// configName is the configuration that the demo writes into its data directory.
const configName = "demo.yaml"

// configuration is what an operator would write.
func (g *gateway) configuration() []byte {
	quote := func(s string) string { return strconv.Quote(strings.ReplaceAll(s, "$", "$$")) }
	text := fmt.Sprintf(`# Written by mqttdb serve --demo. Try: mqttdb status --config %s
data_dir: .
mqtt:
  listen: %s
http:
  listen: %s
connections:
  demo:
    broker: %s
`, g.config(), quote(g.mqtt), quote(g.http), quote(g.broker))
	for key, env := range map[string]string{"username": "MQTTDB_USERNAME", "password_file": "MQTTDB_PASSWORD_FILE"} {
		if value := os.Getenv(env); value != "" {
			text += fmt.Sprintf("    %s: %s\n", key, quote(value))
		}
	}
	return []byte(text)
}

func (g *gateway) config() string { return filepath.Join(g.dataDir, configName) }

// startGateway starts this program again as a gateway and waits until it
// answers. What it logs goes to a file in its data directory.
func startGateway(ctx context.Context, mqtt, httpAddr, broker, dataDir string) (*gateway, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dataDir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	g := &gateway{mqtt: mqtt, http: httpAddr, broker: broker, dataDir: dataDir, log: log, exited: make(chan error, 1)}
	if err := os.WriteFile(g.config(), g.configuration(), 0o600); err != nil {
		return nil, err
	}
	g.cmd = exec.Command(self, "serve", "--config", g.config())
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.SysProcAttr = processAttributes()
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	go func() {
		err := g.cmd.Wait()
		if err == nil {
			err = fmt.Errorf("exit status 0")
		}
		if said := lastLine(log.Name()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		g.exited <- fmt.Errorf("%w; see %s", err, log.Name())
	}()
	return g, g.ready(ctx)
}

// lastLine is the last line of a file, "" if there is none: a program that gives
// up says why there.
func lastLine(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// ready waits until the gateway answers.
func (g *gateway) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway does not answer: %w; see %s", ctx.Err(), g.log.Name())
		case err := <-g.exited:
			return fmt.Errorf("the gateway did not start: %w", err)
		case <-poll.C:
			if _, err := g.status(ctx); err == nil {
				return nil
			}
		}
	}
}

// status asks the gateway about its connection.
func (g *gateway) status(ctx context.Context) (types.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.http+"/api/connections", nil)
	if err != nil {
		return types.Status{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return types.Status{}, err
	}
	defer res.Body.Close()
	var all []types.Status
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&all); err != nil {
		return types.Status{}, err
	}
	if len(all) == 0 {
		return types.Status{}, fmt.Errorf("the gateway has no connection")
	}
	return all[0], nil
}

// kill kills the process at once and returns its id.
func (g *gateway) kill() (int, error) {
	pid := g.cmd.Process.Pid
	if err := g.cmd.Process.Kill(); err != nil {
		return pid, err
	}
	<-g.exited
	return pid, g.log.Close()
}

// stop ends the process the way a service manager does.
func (g *gateway) stop() error {
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil // it is gone already
	}
	select {
	case <-g.exited:
	case <-time.After(6 * time.Second):
		return g.cmd.Process.Kill()
	}
	return g.log.Close()
}
