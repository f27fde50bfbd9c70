// Package golden tests what the runtime says to a broker, packet by packet: each
// file of testdata is a conversation about one corner of the protocol, with a
// broker that says what the file wants it to say.
package golden
