package listener

import (
	"encoding/binary"

	"github.com/mochi-mqtt/server/v2/packets"
)

// mayRepeat says whether a property may be there several times in one packet.
func mayRepeat(property byte) bool {
	return property == packets.PropUser || property == packets.PropSubscriptionIdentifier
}

// checkProperties says what is wrong with properties that the codec has decoded:
// it takes one that is there twice, and a limit of 0 for none
// [MQTT5-3.1.2.11.3], [MQTT5-3.1.2.11.4].
func checkProperties(raw []byte) error {
	var seen [256]bool
	for len(raw) > 0 {
		property, value := raw[0], raw[1:]
		if seen[property] && !mayRepeat(property) {
			return &protocolError{code: codeProtocolError, text: "a property that is there twice"}
		}
		seen[property] = true
		size := propertySize(property, value)
		if size < 0 || size > len(value) {
			return malformed("properties")
		}
		switch {
		case property == packets.PropReceiveMaximum && binary.BigEndian.Uint16(value) == 0:
			return &protocolError{code: codeProtocolError, text: "a receive maximum of 0"}
		case property == packets.PropMaximumPacketSize && binary.BigEndian.Uint32(value) == 0:
			return &protocolError{code: codeProtocolError, text: "a maximum packet size of 0"}
		}
		raw = value[size:]
	}
	return nil
}

// propertySize is how many bytes of b the value of a property takes
// [MQTT5-2.2.2.2], -1 if it is none or does not end.
func propertySize(property byte, b []byte) int {
	text := func(at int) int {
		if len(b) < at+2 {
			return len(b) + 1
		}
		return at + 2 + int(binary.BigEndian.Uint16(b[at:]))
	}
	switch property {
	case packets.PropPayloadFormat, packets.PropRequestProblemInfo, packets.PropRequestResponseInfo,
		packets.PropMaximumQos, packets.PropRetainAvailable, packets.PropWildcardSubAvailable,
		packets.PropSubIDAvailable, packets.PropSharedSubAvailable:
		return 1
	case packets.PropServerKeepAlive, packets.PropReceiveMaximum, packets.PropTopicAliasMaximum, packets.PropTopicAlias:
		return 2
	case packets.PropMessageExpiryInterval, packets.PropSessionExpiryInterval, packets.PropWillDelayInterval, packets.PropMaximumPacketSize:
		return 4
	case packets.PropSubscriptionIdentifier:
		for i := range min(len(b), 4) {
			if b[i] < 128 {
				return i + 1
			}
		}
		return -1
	case packets.PropContentType, packets.PropResponseTopic, packets.PropCorrelationData, packets.PropAssignedClientID,
		packets.PropAuthenticationMethod, packets.PropAuthenticationData, packets.PropResponseInfo,
		packets.PropServerReference, packets.PropReasonString:
		return text(0)
	case packets.PropUser:
		return text(min(text(0), len(b)))
	}
	return -1
}
