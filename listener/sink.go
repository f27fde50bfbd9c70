package listener

import "github.com/mqttdb/mqttdb/types"

// Sink takes what local clients publish. It is called concurrently, in order
// per client.
type Sink interface {
	// Publish stores m in every queue it belongs to and calls done exactly
	// once, from any goroutine, when that is committed or was refused; done does
	// not block. It returns false without calling done when there is no room
	// now; then room is called once later. It never blocks.
	//
	// m.Retain is what the client set. The origin of a QoS 2 message names its
	// client and its packet id, which the client may use again for another
	// message after its PUBREL; other messages have none.
	//
	// An error that wraps types.ErrInvalidTopic, types.ErrInvalidMessage or
	// types.ErrTooLarge says that m will never be taken: the message counts as
	// refused and the client may go on. Any other error leaves the message with
	// the client, which is to send it again.
	Publish(m types.Message, origin types.Origin, done func(error), room func()) bool
}
