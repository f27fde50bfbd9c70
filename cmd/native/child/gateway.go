//go:build !js

// Package child runs this program once more, as a gateway in a process of its
// own: one that can be killed without taking those down who watch it.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Options say what is run.
type Options struct {
	Program string // its path; "": this program
	Config  string // the configuration file that it serves
	Log     string // the file that what it prints is appended to

	// Demo gets the verbs that somebody asked for over HTTP (httpapi.DemoCut and the
	// like). nil: it is no demonstration, and there are no such requests. It is called
	// by one goroutine, and what the process prints waits meanwhile.
	Demo func(verb string)
}

const (
	startTime = 30 * time.Second // for it to answer
	stopTime  = 6 * time.Second  // for it to end after SIGTERM
)

// Gateway is a gateway that was started. Kill and Stop are called once, by one
// goroutine; everything else may be called concurrently.
type Gateway struct {
	MQTT, HTTP string // host:port where it listens

	cmd    *exec.Cmd
	log    *os.File
	demo   func(string)
	exited chan struct{}
	err    error // why it ended, once exited is closed
}

// announcement is what a gateway prints once it serves.
var announcement = regexp.MustCompile(`^local MQTT at (\S+), status at http://([^/]+)/`)

// Demonstrating, if it is set in the environment, has a gateway print what is to be
// demonstrated: a line that begins with DemoLine, and the verb.
const (
	Demonstrating = "MQTTDB_DEMONSTRATING"
	DemoLine      = "demonstrate "
)

// Start starts a gateway and returns when it serves. Where it cannot, the error
// has the last line that it logged. It is killed when ctx ends before that, and on
// Linux when this process ends, however that happens.
func Start(ctx context.Context, o Options) (*Gateway, error) {
	program := o.Program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		program = self
	}
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of the gateway: %w", err)
	}
	g := &Gateway{cmd: exec.Command(program, "serve", "--config", o.Config), log: log, demo: o.Demo, exited: make(chan struct{})}
	if o.Demo != nil {
		g.cmd.Env = append(os.Environ(), Demonstrating+"=1")
	}
	g.cmd.Stderr = log
	g.cmd.SysProcAttr = attributes()
	said, err := g.cmd.StdoutPipe()
	if err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	serving := make(chan struct{})
	go g.follow(said, serving)
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case <-serving:
		return g, nil
	case <-g.exited:
		return nil, fmt.Errorf("the gateway did not start: %w", g.err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late.C:
		err = fmt.Errorf("the gateway does not answer within %v; see %s", startTime, o.Log)
	}
	g.Kill()
	return nil, err
}

// follow reads what the process prints, to its end.
func (g *Gateway) follow(said io.Reader, serving chan<- struct{}) {
	defer close(g.exited)
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		fmt.Fprintln(g.log, lines.Text())
		if at := announcement.FindStringSubmatch(lines.Text()); at != nil && g.MQTT == "" {
			g.MQTT, g.HTTP = at[1], at[2]
			close(serving)
		}
		if verb, ok := strings.CutPrefix(lines.Text(), DemoLine); ok && g.demo != nil {
			g.demo(verb)
		}
	}
	err := g.cmd.Wait()
	g.log.Close()
	if err == nil {
		err = fmt.Errorf("exit status 0")
	}
	if line := LastLine(g.log.Name()); line != "" {
		err = fmt.Errorf("%w: %s", err, line)
	}
	g.err = fmt.Errorf("%w; see %s", err, g.log.Name())
}

// LastLine is the last line of a log, "" if there is none: a program that gives
// up says why there.
func LastLine(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	text = text[max(0, len(text)-4096):]
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// Pid is the id of the process.
func (g *Gateway) Pid() int { return g.cmd.Process.Pid }

// Exited is closed when the process has ended; Err says how.
func (g *Gateway) Exited() <-chan struct{} { return g.exited }

// Err says how the process ended. It must not be called before that.
func (g *Gateway) Err() error { return g.err }

// Kill kills the process at once and returns when it has ended.
func (g *Gateway) Kill() {
	_ = g.cmd.Process.Kill() // an error says that it has ended
	<-g.exited
}

// Stop ends the process the way a service manager does, and kills it where that
// takes too long, which is an error.
func (g *Gateway) Stop() error {
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.Kill()
		return nil // it is gone already
	}
	select {
	case <-g.exited:
		return nil
	case <-time.After(stopTime):
		g.Kill()
		return fmt.Errorf("the gateway did not end within %v of SIGTERM and was killed; see %s", stopTime, g.log.Name())
	}
}

// Reload has the gateway read its configuration again.
func (g *Gateway) Reload(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.HTTP+"/api/reload", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Mqttdb", "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("have the gateway read its configuration: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("have the gateway read its configuration: %s; see %s", res.Status, g.log.Name())
	}
	return nil
}

// Status asks the gateway about its first connection.
func (g *Gateway) Status(ctx context.Context) (types.Status, error) {
	all, err := g.Statuses(ctx)
	if err != nil {
		return types.Status{}, err
	}
	if len(all) == 0 {
		return types.Status{}, fmt.Errorf("the gateway has no connection")
	}
	return all[0], nil
}

// Statuses asks the gateway about its connections, and about its local broker.
func (g *Gateway) Statuses(ctx context.Context) ([]types.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.HTTP+"/api/connections", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var all []types.Status
	return all, json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&all)
}
