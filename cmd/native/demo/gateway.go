//go:build !js

package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/cmd/native/child"
)

// gateway is the real gateway, in a process of its own so that it can be killed.
type gateway struct {
	mqtt, http, broker, dataDir string

	full bool // it is to think that its disk is full

	process *child.Gateway // nil if it did not start
}

// unheardOf is more free space than there is on any disk: a gateway that is to leave
// it free does as on a full one, and nobody's disk has to be filled.
const unheardOf = "1000000GiB"

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
	if g.full {
		text += fmt.Sprintf("    limits: {min_free_disk: %s} # a full disk, demonstrated\n", unheardOf)
	}
	return []byte(text)
}

// fill has the gateway think that its disk is full, or that it is not.
func (g *gateway) fill(ctx context.Context, full bool) error {
	g.full = full
	if err := os.WriteFile(g.config(), g.configuration(), 0o600); err != nil {
		return err
	}
	return g.process.Reload(ctx)
}

func (g *gateway) config() string { return filepath.Join(g.dataDir, configName) }

// startGateway starts this program again as a gateway and waits until it
// answers. What it logs goes to a file in its data directory.
// Verbs that somebody asks for over HTTP come to asked.
func startGateway(ctx context.Context, mqtt, httpAddr, broker, dataDir string, full bool, asked chan<- string) (*gateway, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	g := &gateway{mqtt: mqtt, http: httpAddr, broker: broker, dataDir: dataDir, full: full}
	if err := os.WriteFile(g.config(), g.configuration(), 0o600); err != nil {
		return nil, err
	}
	var err error
	g.process, err = child.Start(ctx, child.Options{Config: g.config(), Log: filepath.Join(dataDir, "gateway.log"), Demo: func(verb string) {
		select {
		case asked <- verb:
		default: // one is being done
		}
	}})
	return g, err
}

// stop ends the process, if there is one, the way a service manager does.
func (g *gateway) stop() error {
	if g.process == nil {
		return nil
	}
	return g.process.Stop()
}
