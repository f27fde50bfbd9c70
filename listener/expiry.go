package listener

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// countDown takes the time that a message has waited off its expiry, also in its
// properties [MQTT5-3.3.2-6], and returns false if nothing is left of that.
func countDown(m *types.Message, waited time.Duration) bool {
	if m.Expiry <= 0 || waited < time.Second {
		return true
	}
	if m.Expiry -= waited; m.Expiry <= 0 {
		return false
	}
	if len(m.Properties) == 0 {
		return true
	}
	f := fields{rest: append(appendVarint(nil, len(m.Properties)), m.Properties...)}
	p, _ := f.properties(packets.Publish)
	if f.err == nil && p.MessageExpiryInterval > 0 {
		p.MessageExpiryInterval = uint32((m.Expiry + time.Second - 1) / time.Second)
		m.Properties = publishProperties(&p)
	}
	return true
}
