package listener

import (
	"errors"
	"strings"

	"github.com/mqttdb/mqttdb/types"
)

// refusedBy says why a message was not stored.
type refusedBy uint8

const (
	refusedTooLarge   refusedBy = iota + 1 // above the size limit
	refusedNotAllowed                      // its topic is ours, or not for this user
	refusedInvalid                         // the Sink says that it cannot be published
	refusedFull                            // the Sink says that the queue is full
	refusedNotStored                       // the store is in trouble, or there was no room until the end
	refusedReasons
)

var refusedNames = [refusedReasons]string{"", "too_large", "not_allowed", "invalid", "full", "not_stored"}

func (r refusedBy) String() string { return refusedNames[r] }

// forGood says that sending the message again would not help.
func (r refusedBy) forGood() bool { return r <= refusedInvalid }

// code is the reason code of a PUBACK or PUBREC. There is none for a payload
// that is too large; an "administrative imposed limit" [MQTT5-3.4.2.1] is what
// comes nearest, for 0x95 is not allowed here.
func (r refusedBy) code() byte {
	switch r {
	case refusedTooLarge, refusedFull:
		return codeQuota
	case refusedNotAllowed:
		return codeNotAuthorized
	case refusedInvalid:
		return codeBadTopic
	}
	return codeUnspecified
}

// refusalOf sorts an error of the Sink.
func refusalOf(err error) refusedBy {
	switch {
	case errors.Is(err, types.ErrTooLarge):
		return refusedTooLarge
	case errors.Is(err, types.ErrInvalidTopic), errors.Is(err, types.ErrInvalidMessage):
		return refusedInvalid
	case errors.Is(err, types.ErrQueueFull), errors.Is(err, types.ErrBusy):
		return refusedFull
	}
	return refusedNotStored
}

// reserved says that a topic is ours to publish to (S5.3).
func reserved(topic string) bool {
	if topic[0] != '$' {
		return false
	}
	first, _, _ := strings.Cut(topic, "/")
	return first == "$SYS" || first == "$mqttdb"
}
