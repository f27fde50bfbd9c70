package types

import "time"

// Selection says which of the messages of a queue are meant: those that match
// all that is set; its zero value means all that are pending.
type Selection struct {
	Queue  QueueName // "": Outgoing
	Filter string    // topics, as they are stored (those the broker sees); "": all
	Before time.Time // accepted before; zero: at any time
}

// Selects says whether a message that was accepted at that time is meant.
func (s Selection) Selects(topic string, accepted time.Time) bool {
	return (s.Filter == "" || Matches(s.Filter, topic)) && (s.Before.IsZero() || accepted.Before(s.Before))
}
