package types

import (
	"errors"
	"testing"
)

func TestMessageCheck(t *testing.T) {
	const limit = 8
	tests := []struct {
		name    string
		message Message
		want    error
	}{
		{"plain", Message{Topic: "a", Payload: []byte("x"), QoS: 1}, nil},
		{"no payload", Message{Topic: "a"}, nil},
		{"QoS 2", Message{Topic: "a", QoS: 2}, nil},
		{"every kind of byte", Message{Topic: "a", Payload: []byte{0, 1, 0x7f, 0x80, 0xff, '\n'}}, nil},
		{"at the limit", Message{Topic: "a", Payload: make([]byte, limit)}, nil},
		{"above the limit", Message{Topic: "a", Payload: make([]byte, limit+1)}, ErrTooLarge},
		{"properties at the limit", Message{Topic: "a", Properties: make([]byte, MaxProperties)}, nil},
		{"too many properties", Message{Topic: "a", Properties: make([]byte, MaxProperties+1)}, ErrTooLarge},
		{"QoS 3", Message{Topic: "a", QoS: 3}, ErrInvalidMessage}, // [MQTT-3.3.1-4]
		{"negative expiry", Message{Topic: "a", Expiry: -1}, ErrInvalidMessage},
		{"no topic", Message{}, ErrInvalidTopic},
		{"wildcard", Message{Topic: "a/+"}, ErrInvalidTopic},
		{"control character", Message{Topic: "a\x01b"}, ErrInvalidTopic},
		{"topic before size", Message{Topic: "#", Payload: make([]byte, limit+1)}, ErrInvalidTopic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.message.Check(limit); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("Check: %v, want %v", err, tt.want)
			}
		})
	}
}

func TestMessageSize(t *testing.T) {
	m := Message{Topic: "abc", Payload: make([]byte, 100), Properties: make([]byte, 10)}
	if got, least := m.Size(), 113; got < least {
		t.Errorf("Size = %d, less than the %d bytes that it holds", got, least)
	}
	if (Message{}).Size() == 0 {
		t.Error("an empty message takes no room, so that any number of them would be admitted")
	}
}
