// Package crash holds the tests that run the real gateway, as a process, against
// a real mosquitto, and kill it: what the gateway acknowledged arrives, in order
// and byte for byte, whatever happens to its process.
//
// All of it is tests. KILLS is how often TestKills kills the gateway (20 if
// not set) and how long the other load tests are; MESSAGES and FAULTS are how many
// there are in each cell of TestMatrix (450 and 3); CYCLES how often
// TestDiskFull fills a disk (5); SEED repeats a run's choices.
// docs/crash-testing.md says what is killed, what is checked, and why the
// checker can be believed.
package crash
