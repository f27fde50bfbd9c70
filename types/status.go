package types

import "time"

// State is where a connection stands.
type State string

const (
	Offline    State = "offline"    // not started, or closed
	Connecting State = "connecting" // dialing, or waiting for CONNACK
	Online     State = "online"
	Stalled    State = "stalled" // connected, but nothing is acknowledged
	Backoff    State = "backoff" // waiting before the next attempt
	Paused     State = "paused"  // by an operator
	Refused    State = "refused" // the broker does not want us or our messages
)

// Status is a snapshot of one connection, as `mqttdb status`, the HTTP API and
// the dashboard show it.
type Status struct {
	Name        string      `json:"name"`
	Broker      string      `json:"broker"` // without credentials
	State       State       `json:"state"`
	Since       time.Time   `json:"since"`
	NextAttempt *time.Time  `json:"next_attempt"`
	LastError   string      `json:"last_error"`
	Hint        string      `json:"hint"`
	Orphan      bool        `json:"orphan"` // has messages, but is in no configuration
	Outgoing    QueueStatus `json:"outgoing"`
	Incoming    QueueStatus `json:"incoming"`

	// Clients is there for "_local" of a gateway only.
	Clients *ClientsStatus `json:"clients,omitempty"`
}

// ClientsStatus is a snapshot of the clients of a gateway's local broker. What
// it counts it counts from the start.
type ClientsStatus struct {
	Connected int    `json:"connected"` // now
	Received  uint64 `json:"received"`  // messages from them
	Delivered uint64 `json:"delivered"` // messages to them
	Dropped   uint64 `json:"dropped"`   // messages that one of them did not get, for it reads too slowly or takes none so large

	// Refused are messages from them that were not taken, by reason: too_large,
	// not_allowed, invalid, full, not_stored.
	Refused map[string]uint64 `json:"refused"`

	// TurnedAway counts connections that were not let in.
	TurnedAway uint64 `json:"turned_away"`
}

// LimitsStatus is what bounds a queue at present, as the configuration says it.
type LimitsStatus struct {
	MaxMessages uint64 `json:"max_messages"` // 0: any number
	MaxBytes    uint64 `json:"max_bytes"`    // 0: any size
	Overflow    string `json:"overflow"`     // reject, drop_oldest or drop_newest
}

// EmptyQueueStatus is the status of a queue that does not exist.
func EmptyQueueStatus() QueueStatus {
	return QueueStatus{DroppedBy: map[string]uint64{}, RefusedBy: map[string]uint64{}}
}

// QueueStatus is a snapshot of one queue. Counters count from the creation of
// its store and survive restarts; accepted = sent + dropped + expired +
// cleared + dead + quarantined + pending at every moment.
type QueueStatus struct {
	Pending     uint64     `json:"pending"`
	Bytes       uint64     `json:"bytes"` // stored bytes of the pending messages
	InFlight    uint64     `json:"in_flight"`
	Oldest      *time.Time `json:"oldest"` // when the oldest pending message was accepted
	Accepted    uint64     `json:"accepted"`
	Sent        uint64     `json:"sent"`
	Dropped     uint64     `json:"dropped"`
	Expired     uint64     `json:"expired"`
	Cleared     uint64     `json:"cleared"`
	Dead        uint64     `json:"dead"`
	Quarantined uint64     `json:"quarantined"`
	Refused     uint64     `json:"refused"` // never accepted, since the start

	// RefusedBy counts them by reason: full and disk_full (whoever published did not
	// wait, or not for long enough), too_large, invalid.
	RefusedBy map[string]uint64 `json:"refused_by"`

	DeadPending        uint64            `json:"dead_pending"`
	Kept               uint64            `json:"kept"`            // were sent, and can be read and replayed
	DroppedBy          map[string]uint64 `json:"dropped_by"`      // dropped, by drop_oldest, drop_newest, unclaimed (nobody wanted it any more)
	BytesWritten       uint64            `json:"bytes_written"`   // since the start: what was handed to the file system
	PayloadBytes       uint64            `json:"payload_bytes"`   // since the start: of the messages that were stored
	Syncs              uint64            `json:"syncs"`           // since the start: how often messages were synced
	DiskBytes          uint64            `json:"disk_bytes"`      // what the log takes now
	ReclaimedBytes     uint64            `json:"reclaimed_bytes"` // since the store was made; a kill may forget the latest
	LastCompaction     *time.Time        `json:"last_compaction"` // when it last came to an end; survives restarts, too
	DuplicatesPossible bool              `json:"duplicates_possible"`

	// DowntimeUnknown says that before the last start the clock had been set back, or
	// the gateway was off for more than 30 days: that time counts as nothing for
	// max_age, ttl and Oldest.
	DowntimeUnknown bool `json:"downtime_unknown,omitempty"`

	// Limits are those that bound what is pending; nil if none does.
	Limits *LimitsStatus `json:"limits,omitempty"`

	// Full says which limit keeps the queue from taking more at present; "" if
	// none does. Nothing is lost by that: whoever publishes has to wait.
	Full string `json:"full,omitempty"`

	// Trouble says why the queue cannot store at present; "" when it can.
	Trouble string `json:"trouble,omitempty"`

	// Unread says that what is stored could not be read since the start, because
	// of Trouble: nobody knows how much is pending, and the counters are 0.
	Unread bool `json:"unread,omitempty"`
}
