// Package diskfull holds the tests on a real file system that is full, read-only
// or gone. All of it is tests.
package diskfull
