//go:build linux

// Command bench measures mqttdb beside what bounds it on this machine: a bare
// loop that appends and calls fdatasync, with the batch sizes that the measured
// run had, and a bare publisher that keeps a window of QoS 1 messages on the way
// to the same mosquitto. Contenders take turns, so that a slow moment of the
// machine hits all of them. What counts is the ratio within one round; the
// median over the rounds is held against the target.
//
//	go run ./bench                          # half an hour
//	go run ./bench -short                   # three minutes, to try something
//	go run ./bench -only library,listener
//	go run ./bench -only contenders         # what users would pick instead, a quarter of an hour
//	go run ./bench -only contenders -contenders gateway,mosquitto
//	go run ./bench -only soak               # make soak: up to 10 million messages pending, ten minutes
//
// The report goes to standard output and, unless it is a short or a partial
// one, to bench/results. A target that is missed is reported as missed; the exit
// status is 1 only if something could not be measured.
//
// A section measures something and adds rows to the report. What is compared with
// the limits is a function that returns a load, and a turn in the rounds of a section.
// The section contenders compares products: its work, which is the same for all, is
// that of package protocol, an independent subscriber judges it, and its report, with
// a chart, is one of its own. A further product is an entry in contender.go, and
// a driver in bench/drivers if it is a library.
package main
