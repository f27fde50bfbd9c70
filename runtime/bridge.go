package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/mqttdb/mqttdb/broker"
)

// bridge greets brokers as a bridge. One that does not know of that is greeted
// as by any client, which is remembered: it then clears retain flags and sends
// back what was forwarded, if that was subscribed to. Where it is, there is no
// link rather than messages that go round for ever (S6.1).
type bridge struct {
	broker.Dialer
	echoes bool // what is forwarded is subscribed to, too
	log    *slog.Logger
	plain  atomic.Bool // the broker does not know of bridges
}

// Dial implements broker.Dialer.
func (b *bridge) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	if !b.plain.Load() {
		o.Bridge = true
		link, session, err := b.Dialer.Dial(ctx, o, events)
		if err == nil || !refusesBridge(err) {
			return link, session, err
		}
		if b.echoes {
			return nil, session, &broker.HintedError{
				Err:    fmt.Errorf("the broker takes no bridges (protocol level 0x84), and would send back what is forwarded: %w", err),
				Advice: "forward and subscribe to different topics, for example by a remote_prefix, and set bridge to false",
			}
		}
	}
	o.Bridge = false
	link, session, err := b.Dialer.Dial(ctx, o, events)
	if err == nil && !b.plain.Swap(true) {
		b.log.Info("the broker takes no bridges (protocol level 0x84): it is greeted as by any client, and clears retain flags")
	}
	return link, session, err
}

// Probe implements broker.Prober, where the dialer of the broker does.
func (b *bridge) Probe(ctx context.Context) error {
	p, ok := b.Dialer.(broker.Prober)
	if !ok {
		return errors.ErrUnsupported
	}
	return p.Probe(ctx)
}

// refusesBridge says whether err may be how a broker answers a protocol level
// that it does not know: by the book [MQTT-3.1.2-2], or by hanging up.
func refusesBridge(err error) bool {
	var refused *broker.RefusedError
	if errors.As(err, &refused) {
		return refused.Code == broker.BadProtocol
	}
	return errors.Is(err, broker.ErrNoAnswer)
}
