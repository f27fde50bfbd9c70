// Package wasmsize holds no code: its tests build the runtime of the browser as it is
// released and hold its size, for a page loads it before it can store anything.
package wasmsize
