package listener

import "github.com/mqttdb/mqttdb/types"

// Sink takes what local clients publish. It is called concurrently, in order
// per client.
type Sink interface {
	// Publish stores each message in every queue it belongs to, in their order.
	// It never blocks and does not keep the slice. It takes as many as there is
	// room for and returns how many; if there are more, their Done is not called,
	// and room is called once later.
	//
	// Message.Retain is what the client set. The origin of a message names its
	// client, and at QoS 2 its packet id, which the client may use again for
	// another message after its PUBREL; other messages have no id.
	//
	// An error that wraps types.ErrInvalidTopic, types.ErrInvalidMessage or
	// types.ErrTooLarge says that a message will never be taken: it counts as
	// refused and the client may go on. Any other error leaves the message with
	// the client, which is to send it again; of what came after it in the same
	// call nothing is stored, if that can be helped.
	Publish(messages []types.Passage, room func()) (taken int)
}
