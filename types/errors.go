package types

import (
	"errors"
	"fmt"
)

// Errors that a caller can act on. Compare with errors.Is.
var (
	// ErrClosed is returned once the runtime, queue or link was closed.
	ErrClosed = errors.New("closed")

	// ErrBusy is returned where admission would have to wait and the caller
	// asked not to.
	ErrBusy = errors.New("busy: try again when there is room")

	// ErrQueueFull is returned when a limit of the queue is reached and its
	// overflow policy is to reject.
	ErrQueueFull = errors.New("queue full: drain it, clear it or raise its limits")

	// ErrDiskFull is returned when there is no room on the disk for messages, or
	// less is free than min_free_disk; it is an ErrQueueFull, too. What is stored is
	// sent on all the same.
	ErrDiskFull error = diskFull{}

	// ErrNotKept is returned by a replay where nothing is kept of what was sent.
	ErrNotKept = errors.New("what was sent is not kept: set keep_sent for the connection")

	// ErrTooLarge is returned for a message above max_message_size.
	ErrTooLarge = errors.New("message too large: send less or raise max_message_size")

	// ErrInvalidTopic is returned for a topic that MQTT does not allow to be
	// published to [MQTT-3.3.2-2], [MQTT-4.7.3-1..3].
	ErrInvalidTopic = errors.New("invalid topic")

	// ErrInvalidMessage is returned for a message that is wrong in something
	// else than its topic or its size.
	ErrInvalidMessage = errors.New("invalid message")

	// ErrNotDelivered says that a message left its queue without the broker
	// having taken it.
	ErrNotDelivered = errors.New("not delivered")

	// ErrUnknownQueue is returned for a queue that a connection does not have.
	ErrUnknownQueue = errors.New("no such queue")

	// ErrUnknownMessage is returned for a number that no message has which is
	// pending, or a dead letter, whichever was asked for.
	ErrUnknownMessage = errors.New("no such message")

	// ErrInFlight is returned for a message that was sent and not acknowledged
	// yet: the broker may have it.
	ErrInFlight = errors.New("in flight: the broker may have it already; try again when it is acknowledged, or after the link was lost")

	// ErrUnknownConnection is returned for a connection name that is not in
	// the configuration.
	ErrUnknownConnection = errors.New("no such connection")

	// ErrNeedsRestart is returned for a change of the configuration that a running
	// program cannot make.
	ErrNeedsRestart = errors.New("cannot be changed while mqttdb runs: restart it, or change it back")

	// ErrInterrupted answers callers whose request was under way when its
	// actor failed; whether the message was stored is not known.
	ErrInterrupted = errors.New("interrupted: the queue restarted; the message may or may not be stored")

	// ErrRepeated says of a message that it is stored already, where it is to be:
	// it is a repeat, which see Once.
	ErrRepeated = errors.New("stored before: it is a repeat")

	// ErrCorrupt marks bytes that are not what was written.
	ErrCorrupt = errors.New("corrupt")

	// ErrGone says of a store that is in use that its place was removed, or replaced
	// by another one.
	ErrGone = errors.New("removed or replaced while it was in use")

	// ErrNewerFormat is returned by opening a store that a newer version of
	// mqttdb wrote. The store is left untouched.
	ErrNewerFormat = errors.New("written by a newer version of mqttdb")

	// ErrInUse is returned by opening a store that another process, or another
	// runtime of this one, has open.
	ErrInUse = errors.New("in use by another process")

	// ErrForeign is returned by opening a directory that holds somebody else's
	// files.
	ErrForeign = errors.New("not an mqttdb store")
)

// DrainError says what was left on a connection when nobody waited for it any longer.
type DrainError struct {
	Connection string
	Pending    uint64 // messages in its queue
	Relayed    uint64 // messages, at most, of other brokers that are to be relayed to it and wait elsewhere
	Err        error  // why nobody waits: that of the context, types.ErrClosed, or the trouble of the store
}

func (e *DrainError) Error() string {
	s := fmt.Sprintf("drain %s: %d messages are left", e.Connection, e.Pending)
	if e.Relayed > 0 {
		s += fmt.Sprintf(", and %d of other brokers wait to be relayed to it", e.Relayed)
	}
	return fmt.Sprintf("%s: %v", s, e.Err)
}

func (e *DrainError) Unwrap() error { return e.Err }

type diskFull struct{}

func (diskFull) Error() string { return "disk full" }

// Is implements errors.Is.
func (diskFull) Is(target error) bool { return target == ErrQueueFull }

// StoreError says which queue could not be read or written, and what to do
// about it.
type StoreError struct {
	Op, Queue string
	Err       error
	Hint      string // shown on the status page: "disk full: free space or clear the queue"
}

func (e *StoreError) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Queue, e.Err)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *StoreError) Unwrap() error { return e.Err }
