package mqttdb

import (
	"sync"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
)

// policies says how the queues of each connection are synced, to a store that
// opens them. That of a connection does not change while it runs.
type policies struct {
	mu   sync.Mutex
	sync map[string]config.Sync // by connection
}

func newPolicies(cfg config.Config) *policies {
	p := &policies{sync: map[string]config.Sync{runtime.LocalName: cfg.Local.Sync}}
	for _, c := range cfg.Connections {
		p.set(c)
	}
	return p
}

func (p *policies) set(c config.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync[c.Name] = c.Sync
}
