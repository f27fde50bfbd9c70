// Package links tests the way from a connection to its broker: each kind of
// link, with real certificates, a real HTTP proxy and real brokers, and behind a
// network that loses, cuts and swallows.
package links
