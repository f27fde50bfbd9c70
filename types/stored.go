package types

import "time"

// QueueName says which messages of a connection are meant.
type QueueName string

const (
	Outgoing    QueueName = "outgoing" // to be sent to the broker
	Incoming    QueueName = "incoming" // from the broker
	DeadLetters QueueName = "dead"     // those of outgoing that were set aside

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
}
