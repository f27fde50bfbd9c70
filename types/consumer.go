package types

import "time"

// ConsumerKind says who is behind a durable consumer of an incoming queue.
type ConsumerKind string

const (
	NamedConsumer ConsumerKind = "named" // a named subscription of a program
	RelayConsumer ConsumerKind = "relay" // a connection that relays; it has its name
	LocalConsumer ConsumerKind = "local" // local clients: their sessions, and what is retained
)

// ConsumerStatus is a snapshot of one durable consumer of an incoming queue.
type ConsumerStatus struct {
	Name    string       `json:"name"`
	Kind    ConsumerKind `json:"kind"`
	Filters []string     `json:"filters"` // of local topics
	Joined  bool         `json:"joined"`  // somebody is there to take its messages
	Left    *time.Time   `json:"left"`    // when the last one went; null: somebody is there
	Open    int          `json:"open"`    // messages that it was given and has not acknowledged
	Behind  uint64       `json:"behind"`  // at most so many that are stored were not given to it yet
}
