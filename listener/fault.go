package listener

import "errors"

// Reason codes of MQTT 5 that are sent [MQTT5-2.4].
const (
	codeDisconnectWithWill = 0x04
	codeNoSubscription     = 0x11
	codeUnspecified        = 0x80
	codeMalformed          = 0x81
	codeProtocolError      = 0x82
	codeRefused            = 0x83 // implementation specific error
	codeBadVersion         = 0x84
	codeBadClientID        = 0x85
	codeBadLogin           = 0x86
	codeNotAuthorized      = 0x87
	codeUnavailable        = 0x88
	codeBusy               = 0x89
	codeShuttingDown       = 0x8B
	codeBadAuthMethod      = 0x8C
	codeKeepAlive          = 0x8D
	codeTakenOver          = 0x8E
	codeBadFilter          = 0x8F
	codeBadTopic           = 0x90
	codeUnknownID          = 0x92
	codeNoAlias            = 0x94
	codePacketTooLarge     = 0x95
	codeQuota              = 0x97
	codeAdministrative     = 0x98
	codeNoShared           = 0x9E
	codeNoSubscriptionIDs  = 0xA1
)

// errSilent ends a connection on which nothing came in time [MQTT-3.1.2-24].
var errSilent = errors.New("nothing was heard for 1.5 times the keepalive")

// protocolError says what is wrong with what a client sent. It ends its
// connection.
type protocolError struct {
	code byte // for MQTT 5
	text string
}

func (e *protocolError) Error() string { return e.text }

func malformed(text string) error { return &protocolError{code: codeMalformed, text: text} }
