package sidecar

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mqttdb/mqttdb/types"
)

// Properties are those of MQTT 5 that a message has, by the names of MQTT.js.
type Properties struct {
	PayloadFormat *bool              `json:"payloadFormatIndicator,omitempty"`
	Expiry        *uint32            `json:"messageExpiryInterval,omitempty"` // s
	ContentType   *string            `json:"contentType,omitempty"`
	ResponseTopic *string            `json:"responseTopic,omitempty"`
	Correlation   []byte             `json:"correlationData,omitempty"` // base64
	User          map[string]Strings `json:"userProperties,omitempty"`
	Subscription  Numbers            `json:"subscriptionIdentifier,omitempty"` // MSG only
}

// Strings is a text or a list of them.
type Strings []string

// UnmarshalJSON reads a text or an array.
func (s *Strings) UnmarshalJSON(b []byte) error { return oneOrMore((*[]string)(s), b) }

// MarshalJSON writes a text, if there is one only, or an array.
func (s Strings) MarshalJSON() ([]byte, error) { return oneOrArray(s) }

// Numbers is a number or a list of them.
type Numbers []uint32

// UnmarshalJSON reads a number or an array.
func (n *Numbers) UnmarshalJSON(b []byte) error { return oneOrMore((*[]uint32)(n), b) }

// MarshalJSON writes a number, if there is one only, or an array.
func (n Numbers) MarshalJSON() ([]byte, error) { return oneOrArray(n) }

func oneOrMore[T any](list *[]T, b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, list)
	}
	*list = make([]T, 1)
	return json.Unmarshal(b, &(*list)[0])
}

func oneOrArray[T any](list []T) ([]byte, error) {
	if len(list) == 1 {
		return json.Marshal(list[0])
	}
	return json.Marshal(list)
}

// Identifiers of properties [MQTT5-2.2.2.2].
const (
	payloadFormatProperty = 0x01
	expiryProperty        = 0x02
	contentTypeProperty   = 0x03
	responseTopicProperty = 0x08
	correlationProperty   = 0x09
	subscriptionProperty  = 0x0b
	topicAliasProperty    = 0x23
	userProperty          = 0x26
)

// Expires is after what time the message is of no use any more; 0: never.
func (p *Properties) Expires() time.Duration {
	if p == nil || p.Expiry == nil {
		return 0
	}
	return time.Duration(*p.Expiry) * time.Second
}

// Wire is p as in a PUBLISH, without the length, and without the expiry: a message
// has that by itself. The error wraps types.ErrInvalidMessage.
func (p *Properties) Wire() ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	var b []byte
	var err error
	text := func(id byte, s string) {
		if len(s) > 65535 || !utf8.ValidString(s) {
			err = fmt.Errorf("%w: property %#02x is no text of at most 65,535 bytes", types.ErrInvalidMessage, id)
			return
		}
		if id != 0 {
			b = append(b, id)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	if p.PayloadFormat != nil {
		b = append(b, payloadFormatProperty, 0)
		if *p.PayloadFormat {
			b[len(b)-1] = 1
		}
	}
	if p.ContentType != nil {
		text(contentTypeProperty, *p.ContentType)
	}
	if p.ResponseTopic != nil {
		text(responseTopicProperty, *p.ResponseTopic)
	}
	if p.Correlation != nil {
		if len(p.Correlation) > 65535 {
			return nil, fmt.Errorf("%w: correlation data of %d bytes", types.ErrInvalidMessage, len(p.Correlation))
		}
		b = append(b, correlationProperty)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p.Correlation))), p.Correlation...)
	}
	for _, name := range sortedKeys(p.User) {
		for _, value := range p.User[name] {
			text(userProperty, name)
			text(0, value)
		}
	}
	return b, err
}

var errProperties = errors.New("properties that do not end")

// PropertiesOf reads those of a message, for MSG: nil if there are none. What is not
// known to clients is left out.
func PropertiesOf(wire []byte, expiry time.Duration) (*Properties, error) {
	if len(wire) == 0 && expiry == 0 {
		return nil, nil
	}
	p := &Properties{}
	if expiry > 0 {
		s := uint32(min((expiry+time.Second-1)/time.Second, 1<<32-1))
		p.Expiry = &s
	}
	for b := wire; len(b) > 0; {
		var err error
		if b, err = p.take(b[0], b[1:]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// take reads the value of a property and returns what follows it.
func (p *Properties) take(id byte, b []byte) ([]byte, error) {
	bytes := func() (value []byte, ok bool) {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, false
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		value, b = b[2:n], b[n:]
		return value, true
	}
	switch id {
	case payloadFormatProperty:
		if len(b) < 1 {
			return nil, errProperties
		}
		yes := b[0] == 1
		p.PayloadFormat = &yes
		return b[1:], nil
	case expiryProperty:
		if len(b) < 4 {
			return nil, errProperties
		}
		s := binary.BigEndian.Uint32(b)
		p.Expiry = &s
		return b[4:], nil
	case topicAliasProperty: // of one link
		if len(b) < 2 {
			return nil, errProperties
		}
		return b[2:], nil
	case subscriptionProperty:
		n, size := binary.Uvarint(b)
		if size < 1 || size > 4 {
			return nil, errProperties
		}
		p.Subscription = append(p.Subscription, uint32(n))
		return b[size:], nil
	case contentTypeProperty, responseTopicProperty, correlationProperty:
		value, ok := bytes()
		if !ok {
			return nil, errProperties
		}
		text := string(value)
		switch id {
		case contentTypeProperty:
			p.ContentType = &text
		case responseTopicProperty:
			p.ResponseTopic = &text
		default:
			p.Correlation = append([]byte{}, value...)
		}
		return b, nil
	case userProperty:
		name, ok := bytes()
		value, ok2 := bytes()
		if !ok || !ok2 {
			return nil, errProperties
		}
		if p.User == nil {
			p.User = make(map[string]Strings)
		}
		p.User[string(name)] = append(p.User[string(name)], string(value))
		return b, nil
	}
	return nil, fmt.Errorf("property %#02x is none of a message", id)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
