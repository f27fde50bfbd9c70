// Package types is the vocabulary of the project: messages, sequence numbers,
// topics, statuses and errors. It imports only the standard library, never os
// or net, so that every other package, native or wasm, can speak it.
package types
