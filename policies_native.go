//go:build !js

package mqttdb

import "strings"

// minFree is how much of the disk is to stay free, in bytes, for a queue to take
// messages.
func (p *policies) minFree(queue string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if least, ok := p.least[queue]; ok {
		return least
	}
	connection, _, _ := strings.Cut(queue, "/")
	return p.least[connection]
}
