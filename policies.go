package mqttdb

import (
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
)

// policies says, to a store that opens them, how the queues of each connection are
// synced, which does not change while it runs, and how much of the disk they leave
// free.
type policies struct {
	mu    sync.Mutex
	sync  map[string]config.Sync // by connection
	least map[string]int64       // by queue: bytes that stay free
}

func newPolicies(cfg config.Config) *policies {
	p := &policies{sync: map[string]config.Sync{runtime.LocalName: cfg.Local.Sync}, least: make(map[string]int64)}
	for _, c := range cfg.Connections {
		p.set(c)
	}
	p.setLeast(cfg)
	return p
}

// set is for a connection that is to be started.
func (p *policies) set(c config.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync[c.Name] = c.Sync
	p.limit(c)
}

// setLeast is for all queues.
func (p *policies) setLeast(cfg config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.least[runtime.LocalName] = cfg.Local.Limits.MinFreeDisk
	for _, c := range cfg.Connections {
		p.limit(c)
	}
}

func (p *policies) limit(c config.Connection) {
	p.least[c.Name+"/outgoing"] = c.Limits.Outgoing.MinFreeDisk
	p.least[c.Name+"/incoming"] = c.Limits.Incoming.MinFreeDisk
}

// lazy says whether the commits of a queue are not synced one by one.
func (p *policies) lazy(queue string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	connection, _, _ := strings.Cut(queue, "/")
	return p.sync[connection] != config.Always
}
