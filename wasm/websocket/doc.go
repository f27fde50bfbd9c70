// Package websocket makes a stream of bytes to a broker out of the WebSocket of a
// page or a Worker, which has no sockets of its own.
//
// The browser shows nothing of what goes wrong: neither why a connection did not come
// about (a wrong address, a certificate that it does not trust, a policy of the page
// and a server that is no broker look the same), nor that a network is gone, after
// which a WebSocket stays open. The first gets a hint that names them all; the second
// is found out by the keepalive of the link.
package websocket
