package actors

import (
	"errors"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	takeovers    = 3               // so many of them
	takeoverTime = 1 * time.Minute // within that time make a fight
)

// fight notices when two clients take each other's session over: a broker has
// room for one client of a name, and lets the newer one in [MQTT-3.1.4-2]. In
// MQTT 3 it does not say why it hangs up, so that there are only signs: it ended
// one link after the other, for no reason that is known, and could be reached
// each time. It knows no clock.
type fight struct {
	ends []time.Time // of the latest links, in order
}

// lost is for a link that ended with err; blamed says that there is another
// reason for it.
func (f *fight) lost(at time.Time, err error, blamed bool) {
	if blamed || !errors.Is(err, broker.ErrHungUp) {
		f.ends = nil
		return
	}
	f.ends = append(f.ends[max(0, len(f.ends)-takeovers+1):], at)
}

// unreached is for a broker that could not be reached, and has troubles of its
// own; or for another broker.
func (f *fight) unreached() { f.ends = nil }

// until says until when a fight has to be assumed.
func (f *fight) until() time.Time {
	if len(f.ends) < takeovers || f.ends[takeovers-1].Sub(f.ends[0]) > takeoverTime {
		return time.Time{}
	}
	return f.ends[takeovers-1].Add(takeoverTime)
}

// explain returns why a link ended, with what is known.
func (f *fight) explain(why error, clientID string) error {
	if f.until().IsZero() {
		return why
	}
	return &broker.HintedError{Err: why, Advice: fightHint(clientID)}
}

func fightHint(clientID string) string {
	return "another client may be using the same client id, " + clientID + ", so that each takes the session from the other: give this one another client_id, or stop the other"
}
