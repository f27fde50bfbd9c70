package actors

import (
	"errors"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// Packet ids that no stored message has [S3.1].
const (
	subscribeID = packetIDs + 1 + iota
	unsubscribeID
	birthID
	closeID
)

// announce publishes a message that is not stored: the birth of a link, or its
// end. Nobody waits for its acknowledgement; a link keeps the order, so that the
// broker has it before what follows.
func (c *connection) announce(m *types.Message, id uint16) {
	if m == nil {
		return
	}
	p := broker.Publish{ID: id, Message: c.carried(*m)}
	p.Message.QoS = min(p.Message.QoS, 1) // no handshake is waited for
	if p.Message.QoS == 0 {
		p.ID = 0
	}
	if err := c.link.Publish([]broker.Publish{p}); err != nil && !errors.Is(err, types.ErrClosed) {
		c.config.Logger.Error("a message of the connection itself cannot be sent", "topic", m.Topic, "error", err)
	}
}

// carried is m as the broker is given it.
func (c *connection) carried(m types.Message) types.Message {
	m.QoS = min(m.QoS, c.config.MaxQoS, c.session.MaxQoS)
	m.Retain = m.Retain && !c.config.ClearRetain
	return m
}
