// Package sidecar serves programs of one machine, such as the Node-RED nodes, that
// use brokers through a process of ours beside them: what they publish is stored, and
// acknowledged once it is committed; what brokers send comes back to them. The
// protocol is docs/sidecar-protocol.md: WebSocket messages of one frame each, over a
// Unix socket or loopback TCP.
//
// Big-endian:
//
//	 0  1  type
//	 1  1  flags
//	 2  2  hlen: length of the header in bytes
//	 4  8  seq
//	12     header: a JSON object, or nothing
//	       payload: the rest
//
// A client (one WebSocket) has a lane for each broker, in which its frames are worked
// off in order, and an outbox of bounded size. A house is a data directory with its
// runtime; brokers are opened in it, shared by clients, and linger when the last one
// has left.
package sidecar
