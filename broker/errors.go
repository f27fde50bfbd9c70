package broker

import (
	"errors"
	"fmt"
)

// ErrHungUp says that the broker, or something on the way to it, has ended the
// link without saying why.
var ErrHungUp = errors.New("the broker closed the connection")

// ErrNoAnswer says that the broker closed the connection instead of answering
// CONNECT.
var ErrNoAnswer = errors.New("the broker closed the connection without an answer to CONNECT")

// RefusedError says that the broker answered CONNECT and refused us
// [MQTT-3.2.2.3].
type RefusedError struct {
	Code byte
}

// Reasons of a RefusedError.
const (
	BadProtocol       byte = 1
	BadClientID       byte = 2
	ServerUnavailable byte = 3
	BadCredentials    byte = 4
	NotAuthorized     byte = 5
)

func (e *RefusedError) Error() string {
	switch e.Code {
	case BadProtocol:
		return "the broker does not speak this version of MQTT"
	case BadClientID:
		return "the broker does not accept the client id"
	case ServerUnavailable:
		return "the broker says that it is not available"
	case BadCredentials:
		return "the broker refuses the username or password"
	case NotAuthorized:
		return "the broker says that this client is not authorized"
	}
	return fmt.Sprintf("the broker refuses the connection with code %d", e.Code)
}

// Hint says what an operator can do about it.
func (e *RefusedError) Hint() string {
	switch e.Code {
	case BadProtocol:
		return "set protocol to another version"
	case BadClientID:
		return "set another client_id"
	case ServerUnavailable:
		return "nothing to do: it is tried again"
	case BadCredentials, NotAuthorized:
		return "check username and password_file, and what the broker allows this user"
	}
	return ""
}

// HintedError is an error with what an operator can do about it.
type HintedError struct {
	Err    error
	Advice string
}

func (e *HintedError) Error() string { return e.Err.Error() }
func (e *HintedError) Unwrap() error { return e.Err }

// Hint says what an operator can do about it.
func (e *HintedError) Hint() string { return e.Advice }

// Hint is the first hint in the chain of err, "" if there is none.
func Hint(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}
