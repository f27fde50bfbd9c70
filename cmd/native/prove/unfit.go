//go:build !js

package prove

import (
	"errors"
	"fmt"
)

// UnfitError says that nothing can be proven with this QoS, and why; mostly it is
// the broker: what the broker does not do no gateway can make up for.
type UnfitError struct{ Reason string }

func (e *UnfitError) Error() string { return "nothing can be proven like this: " + e.Reason }

func unfit(format string, args ...any) error {
	return &UnfitError{Reason: fmt.Sprintf(format, args...)}
}

// errGatewayForgot says that the gateway has lost the session of a local client.
var errGatewayForgot = errors.New("the gateway has forgotten the session of the local subscriber")

// errForgot says that the broker has lost the session of the subscriber, and with
// it what it had not delivered yet.
var errForgot = errors.New("the broker has forgotten the session of the subscriber, and with it whatever it had acknowledged and not delivered: " +
	"no gateway can make up for that. Was it restarted? It has to keep sessions on disk (mosquitto: persistence true)")
