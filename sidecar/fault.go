package sidecar

import (
	"context"
	"errors"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

var (
	errNotOpen = errors.New("the broker is not open")
	errRequest = errors.New("invalid request")
)

// faultOf says what err means to a client.
func faultOf(err error) Fault {
	f := Fault{Code: "failed", Text: err.Error()}
	var stored *types.StoreError
	if errors.As(err, &stored) {
		f.Code, f.Hint = "store", stored.Hint
	}
	var setting *config.Error
	if errors.As(err, &setting) {
		f.Code, f.Hint = "invalid", setting.Hint
	}
	switch {
	case errors.Is(err, types.ErrDiskFull):
		f.Code, f.Hint = "disk-full", "free disk space, or clear the queue"
	case errors.Is(err, types.ErrQueueFull):
		f.Code, f.Hint = "full", "wait until messages have been sent, clear the queue, or raise its limits"
	case errors.Is(err, types.ErrTooLarge):
		f.Code = "too-large"
	case errors.Is(err, types.ErrInvalidTopic), errors.Is(err, types.ErrInvalidMessage), errors.Is(err, errRequest):
		f.Code = "invalid"
	case errors.Is(err, types.ErrInUse):
		f.Code, f.Hint = "in-use", "another process uses the directory of this broker: is Node-RED or a gateway running twice?"
	case errors.Is(err, types.ErrNewerFormat):
		f.Code, f.Hint = "newer", "install the version of mqttdb that wrote it, or a later one"
	case errors.Is(err, types.ErrForeign):
		f.Code, f.Hint = "foreign", "the directory holds files that are not mqttdb's: move them elsewhere"
	case errors.Is(err, errNotOpen):
		f.Code = "not-open"
	case errors.Is(err, types.ErrClosed), errors.Is(err, types.ErrUnknownConnection), errors.Is(err, context.Canceled):
		f.Code = "closed"
	}
	return f
}

// stops says whether a message that fails so stops those behind it: they would
// overtake it, or fail too.
func (f Fault) stops() bool { return f.Code != "too-large" && f.Code != "invalid" }
