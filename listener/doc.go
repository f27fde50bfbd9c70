// Package listener is the local MQTT broker of the gateway: sensors, PLCs and
// flows publish to it, and what they publish goes to a Sink, which stores it.
// It speaks MQTT 3.1, 3.1.1 and 5.
//
// What it promises a client (SEMANTICS S5):
//
//   - PUBACK and PUBREC are written after the Sink has committed the message,
//     in the order in which the messages came [MQTT-4.6.0], by the client's own
//     writer, all that are waiting in one write.
//   - A message that repeats one which is not answered yet is not stored again.
//   - A client that does not read, or that sends more than can be stored, slows
//     down nobody else, and what it can occupy in memory is bounded.
//   - A malformed packet ends the connection of the client that sent it, and
//     nothing else. What is announced is never allocated before it arrived.
//   - Nobody gets in, publishes or reads but by the rules of Endpoint and User.
//     Whoever is not known yet is bounded in number, time and memory, and what
//     passwords cost is bounded in time.
//   - Local subscribers that are online get what local clients publish, after
//     its commit, and what Server.Deliver is given.
//
// A client has two goroutines. The reader decodes packets, keeps the books of
// arriving publishes (intake) and hands them to the Sink. The writer does what
// follows a commit (fan-out, acknowledgement), hands over publishes that had to
// wait, and is the only one that writes to the socket. The callbacks of the Sink
// only note and signal.
//
// What a client gets at QoS 1 and 2 in a session that is kept comes from the store
// (Sessions), with packet ids of its own: see durable and legs. Everything else
// it gets live. Without Sessions a session lives as long as its connection.
package listener
