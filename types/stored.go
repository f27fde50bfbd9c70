package types

import "time"

// QueueName says which messages of a connection are meant.
type QueueName string

const (
	Outgoing    QueueName = "outgoing" // to be sent to the broker
	Incoming    QueueName = "incoming" // from the broker
	DeadLetters QueueName = "dead"     // those of outgoing that were set aside

	// Retained are the retained messages of a local broker, which only Messages and
	// Export know.
	Retained QueueName = "retained"

	IncomingDead QueueName = "incoming_dead" // those of incoming that were set aside

	SentMessages QueueName = "sent" // those of outgoing that were sent, and are kept for a while
)

// Stored is a message in a queue.
type Stored struct {
	Seq      Seq
	Message  Message
	Accepted time.Time // when the queue took it
	Cause    string    // of a dead letter: why it was set aside
	Original time.Time // when it was first accepted, if it is a replay; zero: it is none

	// Store is the id of the store that it has its number from, in hex: both together
	// name a message for ever (S7.6).
	Store     string
	Enveloped bool // it leaves in an envelope

	// Abandoned says that it was cleared or given up while it was in flight: only its
	// handshake is finished, it is not to be published again (S3.5).
	Abandoned bool
}

// Extract says which of the messages of a queue are to be read: those that match all
// that is set, and are not Abandoned.
type Extract struct {
	Queue  QueueName // "": Outgoing
	Filter string    // topics, as they are stored; "": all
	Since  time.Time // accepted then or later; zero: whenever
	After  Seq       // with a higher number
}

// Selects says whether a message is meant, but for its queue.
func (e Extract) Selects(s *Stored) bool {
	return !s.Abandoned && s.Seq > e.After && !s.Accepted.Before(e.Since) && (e.Filter == "" || Matches(e.Filter, s.Message.Topic))
}
