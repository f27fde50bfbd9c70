package types

import "time"

// Selection says which of the pending messages are meant: those that match all
// that is set; its zero value means all of them.
type Selection struct {
	Filter string    // topics, as they are stored (those the broker sees); "": all
	Before time.Time // accepted before; zero: at any time
}

// Selects says whether a message that was accepted at that time is meant.
func (s Selection) Selects(topic string, accepted time.Time) bool {
	return (s.Filter == "" || Matches(s.Filter, topic)) && (s.Before.IsZero() || accepted.Before(s.Before))
}
