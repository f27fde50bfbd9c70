package mqtt

import (
	"errors"
	"fmt"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb/broker"
)

// bridgeBit in the protocol level says that the client is a bridge: no standard,
// but what mosquitto does and others have taken over.
const bridgeBit = 0x80

// connectPacket checks the options and builds the CONNECT [MQTT-3.1].
func connectPacket(o broker.ConnectOptions) (*packets.ConnectPacket, error) {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	switch o.Protocol {
	case broker.MQTT311:
		p.ProtocolName = "MQTT"
	case broker.MQTT31:
		p.ProtocolName = "MQIsdp"
	case broker.MQTT5:
		return nil, errors.New("MQTT 5 is not supported yet: set protocol to 3.1.1")
	default:
		return nil, fmt.Errorf("unknown MQTT protocol level %d: set protocol to 3.1.1 or 3.1", o.Protocol)
	}
	p.ProtocolVersion = byte(o.Protocol)
	if o.Bridge {
		p.ProtocolVersion |= bridgeBit
	}
	p.CleanSession = o.CleanSession
	p.ClientIdentifier = o.ClientID
	p.Keepalive = keepAliveSeconds(o.KeepAlive)
	if err := checkString("client id", o.ClientID); err != nil {
		return nil, err
	}
	if o.ClientID == "" && (!o.CleanSession || o.Protocol == broker.MQTT31) {
		return nil, errors.New("no client id: it is what a session is kept under [MQTT-3.1.3-7]")
	}
	if o.Username != "" {
		if err := checkString("username", o.Username); err != nil {
			return nil, err
		}
		p.UsernameFlag, p.Username = true, o.Username
	}
	if o.Password != nil {
		if o.Username == "" {
			return nil, errors.New("a password without a username, which MQTT does not allow [MQTT-3.1.2-22]")
		}
		if len(o.Password) > maxString {
			return nil, fmt.Errorf("the password has %d bytes, MQTT allows %d", len(o.Password), maxString)
		}
		p.PasswordFlag, p.Password = true, o.Password
	}
	if o.Will != nil {
		if err := o.Will.Check(maxString); err != nil {
			return nil, fmt.Errorf("the will: %w", err)
		}
		p.WillFlag, p.WillRetain, p.WillQos = true, o.Will.Retain, byte(o.Will.QoS)
		p.WillTopic, p.WillMessage = o.Will.Topic, o.Will.Payload
	}
	return p, nil
}

// keepAliveSeconds is d as CONNECT says it: whole seconds, rounded up, so that
// we are never later than we promised [MQTT-3.1.2.10].
func keepAliveSeconds(d time.Duration) uint16 {
	if d <= 0 {
		return 0
	}
	return uint16(min((d+time.Second-1)/time.Second, 65535))
}

// readConnack reads what a broker answers to CONNECT. What is not MQTT gets an
// error that says so.
func readConnack(f *frames) (connack *packets.ConnackPacket, flags byte, err error) {
	for {
		if got := f.arrived(); len(got) > 0 && got[0] != packets.Connack<<4 {
			return nil, 0, notMQTT(got)
		}
		cut, ok, err := f.next()
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			if err := f.fill(); err != nil {
				return nil, 0, err
			}
			continue
		}
		packet, err := decode(cut)
		if err != nil {
			return nil, 0, err
		}
		// The codec keeps one bit of the flags.
		return packet.(*packets.ConnackPacket), cut.body[0], nil
	}
}

// session checks a CONNACK and makes of it what the connection needs.
func session(o broker.ConnectOptions, flags byte, p *packets.ConnackPacket) (broker.Session, error) {
	if p.ReturnCode != packets.Accepted {
		return broker.Session{}, &broker.RefusedError{Code: p.ReturnCode}
	}
	s := broker.Session{MaxQoS: 2}
	if o.Protocol == broker.MQTT31 {
		s.Unsure = !o.CleanSession // it has no flags: their byte is reserved
		return s, nil
	}
	if flags&^0x01 != 0 {
		return s, malformed("a CONNACK with flags %#02x [MQTT-3.2.2.1]", flags)
	}
	// A session that is said to be there although we asked for a clean one is
	// none of ours [MQTT-3.2.2-1].
	s.Present = p.SessionPresent && !o.CleanSession
	return s, nil
}

// notMQTT says what answered instead of a broker.
func notMQTT(got []byte) error {
	const tlsAlert, tlsHandshake = 0x15, 0x16
	if got[0] == tlsAlert || got[0] == tlsHandshake {
		return &broker.HintedError{
			Err:    errors.New("that is not an MQTT broker: it answered with TLS"),
			Advice: "use mqtts:// (or wss://), or the port for connections without TLS",
		}
	}
	return &broker.HintedError{
		Err:    fmt.Errorf("that is not an MQTT broker: it answered %q", firstLine(got)),
		Advice: "check address and port of the broker; a WebSocket listener needs ws:// or wss://",
	}
}

// firstLine is the beginning of what arrived, short enough for an error.
func firstLine(got []byte) []byte {
	for i, c := range got {
		if c == '\r' || c == '\n' || i == 60 {
			return got[:i]
		}
	}
	return got
}
