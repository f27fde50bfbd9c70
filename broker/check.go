package broker

import (
	"fmt"

	"github.com/mqttdb/mqttdb/types"
)

// Check says whether p fits the protocol: QoS, packet id and DUP to each other,
// and the topic. The error wraps types.ErrInvalidMessage or
// types.ErrInvalidTopic.
func (p *Publish) Check() error {
	m := &p.Message
	switch {
	case m.QoS > 2:
		return fmt.Errorf("%w: QoS %d (0, 1 or 2 is allowed)", types.ErrInvalidMessage, m.QoS)
	case m.QoS == 0 && (p.ID != 0 || p.Dup):
		return fmt.Errorf("%w: a packet id or DUP at QoS 0", types.ErrInvalidMessage)
	case m.QoS > 0 && p.ID == 0:
		return fmt.Errorf("%w: no packet id at QoS %d", types.ErrInvalidMessage, m.QoS)
	}
	return types.CheckTopic(m.Topic)
}

// Check says whether there is such an acknowledgement.
func (a Ack) Check() error {
	if a.Kind > PubComp {
		return fmt.Errorf("there is no acknowledgement of kind %d", a.Kind)
	}
	return CheckID(a.ID)
}

// Check says whether a broker can be asked for f. The error wraps
// types.ErrInvalidTopic or says that the QoS is none.
func (f Filter) Check() error {
	if f.QoS > 2 {
		return fmt.Errorf("filter %q: QoS %d (0, 1 or 2 is allowed)", f.Topic, f.QoS)
	}
	return types.CheckFilter(f.Topic)
}

// CheckID says whether id can be a packet id [MQTT-2.3.1-1].
func CheckID(id uint16) error {
	if id == 0 {
		return fmt.Errorf("packet id 0 [MQTT-2.3.1-1]")
	}
	return nil
}
