package listener

import (
	"bytes"
	"errors"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// maxClientID bounds client ids, in bytes: they are kept with what the client
// publishes.
const maxClientID = 1024

// connect is a CONNECT packet [MQTT-3.1].
type connect struct {
	version   byte
	clean     bool          // begin with a new session
	kept      bool          // keep the session when the connection ends
	expiry    time.Duration // so long; 0: as long as possible
	keepAlive time.Duration // 0: none
	clientID  string
	generated bool // by us
	will      *types.Message
	willDelay time.Duration // from the end of the connection until it is published

	hasUsername bool
	username    string
	password    []byte // nil: none was sent

	receive   int // messages it takes at once
	maxPacket int // largest packet it takes, in bytes; 0: any
}

// noExpiry is the expiry interval of a session that does not expire
// [MQTT5-3.1.2.11.2].
const noExpiry = 1<<32 - 1

// mayResume says whether the client goes on with a session that there is, also if
// it is not to be kept any longer [MQTT5-3.1.2.4].
func (c *connect) mayResume() bool { return c.version == mqtt5 && !c.clean }

// refusal is an answer to CONNECT that refuses it: the return code of 3.1.1
// [MQTT-3.2.2.3] and the reason code of 5.
type refusal struct {
	version byte // of the answer; 0: none is given
	v3, v5  byte
	text    string
}

func (r *refusal) Error() string { return r.text }

// decodeConnect decodes the bytes after the fixed header. The error is a
// *refusal.
func decodeConnect(b []byte) (connect, error) {
	f := fields{rest: b}
	name, version := f.text(), f.byte()
	c := connect{version: version, receive: 65535}
	switch {
	case f.err != nil, name != "MQTT" && name != "MQIsdp":
		return c, &refusal{text: "this is not MQTT"} // [MQTT-3.1.2-1]
	case name == "MQIsdp" && version == mqtt31, name == "MQTT" && (version == mqtt311 || version == mqtt5):
	default: // [MQTT-3.1.2-2]
		return c, &refusal{version: mqtt311, v3: 1, v5: codeBadVersion, text: "a version of MQTT that is not spoken here"}
	}
	if err := c.decode(&f); err != nil {
		r := &refusal{v5: codeMalformed, text: err.Error()}
		var fault *protocolError
		if errors.As(err, &fault) {
			r.v5 = fault.code
		}
		if version == mqtt5 { // 3.1.1 has no return code for it: no answer
			r.version = version
		}
		return c, r
	}
	return c, c.checkID()
}

func (c *connect) decode(f *fields) error {
	flags := f.byte()
	c.clean = flags&2 != 0
	hasWill, willQoS, willRetain := flags&4 != 0, flags>>3&3, flags&32 != 0
	hasPassword, hasUsername := flags&64 != 0, flags&128 != 0
	// 3.1 leaves unused bits open.
	if c.version != mqtt31 && (flags&1 != 0 || !hasWill && (willQoS != 0 || willRetain)) || willQoS > 2 {
		f.fail("the connect flags") // [MQTT-3.1.2-3], [MQTT-3.1.2-11..15]
	}
	if c.version != mqtt5 && hasPassword && !hasUsername {
		f.fail("a password without a username") // [MQTT-3.1.2-22]
	}
	c.keepAlive = time.Duration(f.uint16()) * time.Second
	c.kept = !c.clean
	if c.version == mqtt5 {
		p, _ := f.properties(packets.Connect)
		c.maxPacket = int(p.MaximumPacketSize)
		c.kept = p.SessionExpiryInterval > 0
		if p.SessionExpiryInterval < noExpiry {
			c.expiry = time.Duration(p.SessionExpiryInterval) * time.Second
		}
		if p.ReceiveMaximum > 0 {
			c.receive = int(p.ReceiveMaximum)
		}
		if p.AuthenticationMethod != "" && f.err == nil {
			return &protocolError{code: codeBadAuthMethod, text: "enhanced authentication is not spoken here"}
		}
	}
	c.clientID = f.text()
	if hasWill {
		c.will, c.willDelay = f.will(c.version)
		c.will.QoS, c.will.Retain = types.QoS(willQoS), willRetain
	}
	if hasUsername {
		c.hasUsername, c.username = true, f.text()
	}
	if hasPassword {
		c.password = append([]byte{}, f.bytes()...)
	}
	return f.end()
}

// will takes topic and payload of a will, and properties of version 5.
func (f *fields) will(version byte) (m *types.Message, delay time.Duration) {
	m = &types.Message{}
	if version == mqtt5 {
		p, raw := f.properties(packets.WillProperties)
		if raw != nil && f.err == nil {
			m.Expiry = time.Duration(p.MessageExpiryInterval) * time.Second
			m.Properties = publishProperties(&p)
			delay = time.Duration(p.WillDelayInterval) * time.Second
		}
	}
	m.Topic = f.text()
	if f.err == nil {
		if err := types.CheckNewTopic(m.Topic); err != nil {
			f.fail("the will: " + err.Error())
		}
	}
	m.Payload = bytes.Clone(f.bytes())
	return m, delay
}

// publishProperties are the properties of a will as those of the PUBLISH that
// it becomes: all but the delay.
func publishProperties(p *packets.Properties) []byte {
	var b bytes.Buffer
	p.Encode(packets.Publish, packets.Mods{AllowResponseInfo: true}, &b, 0)
	f := fields{rest: b.Bytes()}
	_, raw := f.properties(packets.Publish)
	return raw
}

func (c *connect) checkID() error {
	text := ""
	switch {
	case len(c.clientID) > maxClientID:
		text = "the client id has more than 1024 bytes"
	case c.clientID == "" && c.version == mqtt31:
		text = "no client id"
	case c.clientID == "" && c.version == mqtt311 && !c.clean:
		text = "no client id, but a session that is to be kept" // [MQTT-3.1.3-8]
	default:
		return nil
	}
	return &refusal{version: c.version, v3: 2, v5: codeBadClientID, text: text}
}
