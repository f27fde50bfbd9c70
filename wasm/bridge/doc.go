// Package bridge lets pages use a runtime that runs in a Worker beside them: what the
// ES module mqttdb.js speaks, from the other side.
//
// A page and the Engine exchange frames, each a message of its own between them:
// Uint8Arrays, so that payloads stay bytes and a frame is copied once on its way into
// Go. A frame holds one or more records, little-endian:
//
//	0  1  kind
//	1  4  number
//	5  4  length of the body
//	9  …  body
//
// What a page says (number: of the request, which the answer repeats):
//
//	1 publish   8 id, 1 flags, 4 length of the topic, topic, payload
//	2 call      JSON {"op": …}, see Call
//	3 settle    4 subscription, 4 delivery, 1 answer (0 ack, 1 again, 2 never)
//	4 more      4 subscription, 4 how many more deliveries the page takes; number 0
//
// and what it hears:
//
//	65 stored    8 seq; 0 for a repeat
//	66 result    JSON
//	67 error     JSON {"code", "message", "hint"}
//	68 delivery  4 delivery, 8 seq, 8 accepted (Unix ms), 4 attempt, 1 flags, 4 length of the topic, topic, payload; number: the subscription
//	69 ended     JSON as for error, or null; number: the subscription
//	70 status    JSON, the statuses of the connections; number 0
//
// Flags are the QoS in bits 0 and 1, retain in bit 2, and in bit 3 that a message may
// have been delivered before. The ids of what a page publishes rise: one that is not
// answered, because the Worker was lost, is sent again, and stored once.
//
// This file and the next hold no more than that, and compile everywhere, as does the
// Engine; js.go is what a Worker sees of it.
package bridge
