package listener

import (
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// request is one filter of a SUBSCRIBE packet, with its options.
type request struct {
	filter string
	qos    types.QoS

	// Of MQTT 5 [MQTT5-3.8.3.1].
	noLocal         bool
	retainPublished bool // keep the retain flag of live messages
	retainHandling  byte // 0: send retained messages, 1: for a new subscription, 2: never
}

// decodeSubscribe decodes the bytes after the fixed header [MQTT-3.8].
func decodeSubscribe(b []byte, version byte) (id uint16, requests []request, err error) {
	f := fields{rest: b}
	id = f.id()
	if version == mqtt5 {
		p, _ := f.properties(packets.Subscribe)
		if f.err == nil && len(p.SubscriptionIdentifier) > 0 {
			return id, nil, &protocolError{code: codeNoSubscriptionIDs, text: "a subscription identifier, which was not offered"}
		}
	}
	for f.err == nil && len(f.rest) > 0 {
		r := request{filter: f.text()}
		options := f.byte()
		r.qos = types.QoS(options & 3)
		reserved := options & 0xFC
		if version == mqtt5 {
			r.noLocal, r.retainPublished, r.retainHandling = options&4 != 0, options&8 != 0, options>>4&3
			reserved = options & 0xC0
		}
		if r.qos > 2 || r.retainHandling > 2 || reserved != 0 {
			f.fail("the options of a subscription") // [MQTT-3.8.3-4]
		}
		requests = append(requests, r)
	}
	if f.err == nil && len(requests) == 0 {
		return id, nil, &protocolError{code: codeProtocolError, text: "SUBSCRIBE without a filter"} // [MQTT-3.8.3-3]
	}
	return id, requests, f.end()
}

// decodeUnsubscribe decodes the bytes after the fixed header [MQTT-3.10].
func decodeUnsubscribe(b []byte, version byte) (id uint16, filters []string, err error) {
	f := fields{rest: b}
	id = f.id()
	if version == mqtt5 {
		f.properties(packets.Unsubscribe)
	}
	for f.err == nil && len(f.rest) > 0 {
		filters = append(filters, f.text())
	}
	if f.err == nil && len(filters) == 0 {
		return id, nil, &protocolError{code: codeProtocolError, text: "UNSUBSCRIBE without a filter"} // [MQTT-3.10.3-2]
	}
	return id, filters, f.end()
}

// refused is the reason code for a filter that is not taken, 0 if it is.
func (r *request) refused(version byte, allowed *permissions) byte {
	code := byte(0)
	switch {
	case types.CheckFilter(r.filter) != nil, types.TooDeep(r.filter):
		code = codeBadFilter
	case strings.HasPrefix(r.filter, "$share/"):
		code = codeNoShared
	case !allowed.maySubscribe(r.filter):
		code = codeNotAuthorized
	}
	if code != 0 && version != mqtt5 {
		return codeUnspecified // the only one that 3.1.1 has [MQTT-3.9.3]
	}
	return code
}
