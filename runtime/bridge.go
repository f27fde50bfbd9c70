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
	echoes  bool // what is forwarded is subscribed to, too
	log     *slog.Logger
	plain   atomic.Bool  // the broker does not know of bridges
	silence atomic.Int32 // how often in a row it has answered any client, but not a bridge
}

// silences is how often a broker that hangs up on bridges has to be seen: it may
// have been about to start again when the bridge came, and there when the client
// did.
const silences = 2

// Dial implements broker.Dialer.
func (b *bridge) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	said := false
	if !b.plain.Load() {
		o.Bridge = true
		link, session, err := b.Dialer.Dial(ctx, o, events)
		said = refusesBridge(err)
		switch silent := errors.Is(err, broker.ErrNoAnswer); {
		case !said && !silent:
			if err == nil {
				b.silence.Store(0)
			}
			return link, session, err
		case b.echoes && said:
			return nil, session, &broker.HintedError{
				Err:    fmt.Errorf("the broker takes no bridges (protocol level 0x84), and would send back what is forwarded: %w", err),
				Advice: noEchoes,
			}
		case b.echoes:
			return nil, session, &broker.HintedError{Err: err, Advice: "the broker may be about to start; if this stays, it takes no bridges (protocol level 0x84), and would send back what is forwarded: " + noEchoes}
		}
	}
	o.Bridge = false
	link, session, err := b.Dialer.Dial(ctx, o, events)
	if err == nil && !b.plain.Load() {
		b.learn(said)
	}
	return link, session, err
}

const noEchoes = "forward and subscribe to different topics, for example by a remote_prefix, and set bridge to false"

// learn is for a broker that has taken us as any client and not as a bridge. said
// says that it has told why.
func (b *bridge) learn(said bool) {
	if !said && b.silence.Add(1) < silences {
		b.log.Info("the broker hung up on a bridge (protocol level 0x84) and has taken us as any client: it clears retain flags; the next link will be tried as a bridge again")
		return
	}
	b.plain.Store(true)
	b.log.Info("the broker takes no bridges (protocol level 0x84): it is greeted as by any client, and clears retain flags")
}

// Probe implements broker.Prober, where the dialer of the broker does.
func (b *bridge) Probe(ctx context.Context) error {
	p, ok := b.Dialer.(broker.Prober)
	if !ok {
		return errors.ErrUnsupported
	}
	return p.Probe(ctx)
}

// refusesBridge says whether err is how a broker answers a protocol level that it
// does not know [MQTT-3.1.2-2]. Others hang up, as one does that is going away.
func refusesBridge(err error) bool {
	var refused *broker.RefusedError
	return errors.As(err, &refused) && refused.Code == broker.BadProtocol
}
