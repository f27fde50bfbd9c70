// Package mqtt is a link to an MQTT 3.1 or 3.1.1 broker, on the packet codec of
// Eclipse Paho.
//
//	Publish, Acknowledge, …            events(Acked), events(Received), …
//	         │ append                           ▲ one of a kind per read
//	   ┌─────▼─────┐                      ┌─────┴─────┐
//	   │ outgoing  │                      │  decode   │  checks what the codec does not
//	   └─────┬─────┘                      └─────▲─────┘
//	         │ all that is there                │ all that has arrived
//	   ┌─────▼─────┐                      ┌─────┴─────┐
//	   │  writer   │ ───── the Conn ───── │  reader   │  cuts packets, caps their size
//	   └───────────┘                      └───────────┘
//
// A link has a reader, which is a goroutine, and a writer, which is one while
// there is something to write. Both join: one system call carries what has
// gathered meanwhile, and one event the PUBACKs that a broker writes one by one.
//
// The codec alone is not safe to read from a network with: it allocates the
// length that was announced, takes short reads for whole ones, an empty payload
// for the end of the stream, and lets pass QoS 3, packet id 0, wrong flags, bytes
// behind the end and topics that MQTT forbids; longer strings than 65,535 bytes
// it cuts without a word. Therefore the fixed header is ours, the codec gets a
// buffer with exactly the bytes of one packet, and what it decoded or is to
// encode is checked by us.
package mqtt
