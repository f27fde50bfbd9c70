// Package smalldisk gives tests a real file system that is small enough to fill,
// in a process of their own that may mount one.
package smalldisk
