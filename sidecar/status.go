package sidecar

import "time"

// Status is the payload of STATUS.
type Status struct {
	Brokers []BrokerStatus `json:"brokers"`
	Orphans []OrphanStatus `json:"orphans"`
}

// BrokerStatus describes a broker that is open.
type BrokerStatus struct {
	Broker      string     `json:"b"`
	State       string     `json:"state"`
	Since       time.Time  `json:"since"`
	URL         string     `json:"broker"` // without credentials
	NextAttempt *time.Time `json:"next_attempt"`
	Error       string     `json:"error"`
	Hint        string     `json:"hint"`
	Lingering   bool       `json:"lingering"`

	Pending      uint64     `json:"pending"`
	PendingBytes uint64     `json:"pending_bytes"`
	InFlight     uint64     `json:"in_flight"`
	Oldest       *time.Time `json:"oldest"`
	Dead         uint64     `json:"dead"` // letters that are kept
	Dropped      uint64     `json:"dropped"`
	Expired      uint64     `json:"expired"`
	Refused      uint64     `json:"refused"`
	Full         bool       `json:"full"`

	IncomingPending uint64 `json:"incoming_pending"`
	IncomingBytes   uint64 `json:"incoming_bytes"`
	IncomingDead    uint64 `json:"incoming_dead"`
	Missed          uint64 `json:"missed"` // by consumers without persist.incoming
}

// OrphanStatus describes a directory with messages that belongs to no open broker.
type OrphanStatus struct {
	Broker          string `json:"b"`
	Pending         uint64 `json:"pending"`
	PendingBytes    uint64 `json:"pending_bytes"`
	IncomingPending uint64 `json:"incoming_pending"`
	IncomingBytes   uint64 `json:"incoming_bytes"`
	Dead            uint64 `json:"dead"` // letters, of both queues
}
