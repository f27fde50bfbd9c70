package runtime

import (
	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
)

// mostInMemory is how many bytes of messages a queue in memory holds where
// max_bytes is not set (S2.4).
const mostInMemory = 64 << 20

// limitsOf is what a queue is told of its limits; volatile says that it is in
// memory.
func limitsOf(l config.Limit, volatile bool) actors.Limits {
	limits := actors.Limits{MaxMessages: l.MaxMessages, MaxBytes: l.MaxBytes}
	if volatile && limits.MaxBytes == 0 {
		limits.MaxBytes = mostInMemory
	}
	switch l.Overflow {
	case config.DropOldest:
		limits.Overflow = actors.DropOldest
	case config.DropNewest:
		limits.Overflow = actors.DropNewest
	}
	return limits
}

// localQueue is what the queue of local sessions can be told while it runs.
func localQueue(l config.Local) actors.Configure {
	return actors.Configure{CompactionInterval: l.CompactionInterval, MaxAge: l.Limits.MaxAge, Limits: limitsOf(l.Limits, false)}
}

// outgoing is what the outgoing queue can be told while it runs.
func (s *settings) outgoing() actors.Configure {
	told := s.forQueue(limitsOf(s.Limits.Outgoing, s.Persist.Outgoing == config.Off))
	told.MaxAge, told.KeepSent = s.Limits.Outgoing.MaxAge, s.KeepSent
	return told
}

// incoming is what the incoming queue can be told while it runs.
func (s *settings) incoming() actors.Configure {
	told := s.forQueue(limitsOf(s.Limits.Incoming, s.Persist.Incoming != config.On))
	told.MaxAge = s.Limits.Incoming.MaxAge
	return told
}

func (s *settings) forQueue(l actors.Limits) actors.Configure {
	return actors.Configure{CommitDelay: s.CommitDelay, CompactionInterval: s.CompactionInterval, Limits: l}
}
