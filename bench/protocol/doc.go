// Package protocol is what the bench and the contenders that are libraries say
// to each other. Each of them runs in a driver, a process of its own, so that its
// processor time, its memory and its death are nobody else's:
//
//	driver --dir DIR --broker tcp://host:port --client-id ID
//
// The driver reads orders from standard input, one JSON object in a line, and
// answers each with one line on standard output, where nothing else appears:
//
//	{"do":"open"}     opens what is in DIR, and connects in the background
//	                  → {"ok":true,"pending":N}
//	{"do":"enqueue"}  lets producers publish, see Order
//	                  → {"stored":N,"seconds":S,"next":[…],"p50_us":X,"p99_us":Y}
//	{"do":"pending"}  → {"pending":N}
//	{"do":"close"}    → {"ok":true}, and the driver ends with exit status 0
//
// pending is -1 where the contender cannot tell. An order that fails is answered
// with {"error":"…"}. Serve is the half of a driver that is written in Go.
//
// # Messages
//
// A message has 200 bytes, little endian:
//
//	offset  size
//	0       4     producer
//	4       8     number of the message within its producer, from 0
//	12      4     CRC-32 (IEEE) of all other bytes in their order
//	16      184   byte i is (i + number) & 0xff
//
// It is published with QoS 1 to the topic that Topic names.
package protocol
