package runtime

import (
	"sync/atomic"

	"github.com/mqttdb/mqttdb/types"
)

// local is who gets messages that come from brokers: the local broker of a
// gateway, or a program.
type local struct {
	deliver atomic.Pointer[func(types.Message)]
}

// Deliver sets who gets the messages that come from brokers, with their local
// topics. deliver is called concurrently, in order per connection; it must not
// block. Until it is set they are dropped: in this version incoming messages
// are not stored.
func (rt *Runtime) Deliver(deliver func(types.Message)) { rt.local.deliver.Store(&deliver) }

func (l *local) hand(m types.Message) {
	if deliver := l.deliver.Load(); deliver != nil {
		(*deliver)(m)
	}
}
