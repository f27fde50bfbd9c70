package listener

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Bounds of what is retained, here in memory.
const (
	maxRetained      = 10_000
	maxRetainedBytes = 16 << 20
)

// topics knows who subscribed to what, and the retained messages. Its methods
// may be called concurrently. Its lock is taken before that of a session, never
// after it.
type topics struct {
	mu            sync.RWMutex
	subscriptions types.Tree[map[*session]request]
	count         atomic.Int64 // of subscriptions
	retained      types.Tree[retained]
	retainedCount int
	retainedBytes int
}

// retained is a retained message. It is gone after until, unless that is zero.
type retained struct {
	message *types.Message
	until   time.Time
}

// subscribe adds or replaces a subscription, and says whether it is new. Every
// message that is routed after the return is offered to it.
func (t *topics) subscribe(s *session, r request) (fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	subscribers, _ := t.subscriptions.At(r.filter)
	if *subscribers == nil {
		*subscribers = map[*session]request{}
	}
	_, existed := (*subscribers)[s]
	(*subscribers)[s] = r
	if !existed {
		t.count.Add(1)
	}
	return !existed
}

// replay offers the retained messages of a filter to a session that has just
// subscribed to it [MQTT-3.3.1-6]. One that came between subscribe and replay is
// offered twice; none is offered after a newer one.
func (t *topics) replay(s *session, r request) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	now := time.Now()
	t.retained.TopicsOf(r.filter, func(kept retained) bool {
		if !kept.until.IsZero() && now.After(kept.until) {
			return true
		}
		return s.offer(offered{message: kept.message, qos: min(kept.message.QoS, r.qos), retain: true, kept: true})
	})
}

// unsubscribe removes a subscription and says whether there was one.
func (t *topics) unsubscribe(s *session, filter string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	subscribers := t.subscriptions.Get(filter)
	if subscribers == nil {
		return false
	}
	_, existed := (*subscribers)[s]
	if existed {
		t.count.Add(-1)
	}
	delete(*subscribers, s)
	if len(*subscribers) == 0 {
		t.subscriptions.Remove(filter)
	}
	return existed
}

// route offers m to the online subscribers of its topic, each once with the
// highest QoS that it asked for, and keeps it if it is retained. from is its
// publisher, nil if that is not a local client. It returns false if m should
// have been retained and there was no room.
func (t *topics) route(m *types.Message, from *session) (kept bool) {
	if m.Retain {
		// One lock for both, so that what is retained is what was offered last.
		t.mu.Lock()
		defer t.mu.Unlock()
		kept = t.retain(m)
		t.offer(m, from)
		return kept
	}
	if t.count.Load() > 0 {
		t.mu.RLock()
		defer t.mu.RUnlock()
		t.offer(m, from)
	}
	return true
}

func (t *topics) offer(m *types.Message, from *session) {
	var first map[*session]request
	var merged map[*session]request
	t.subscriptions.FiltersOf(m.Topic, func(subscribers map[*session]request) {
		if first == nil {
			first = subscribers
			return
		}
		if merged == nil {
			merged = make(map[*session]request, len(first)+len(subscribers))
			merge(merged, first, from)
		}
		merge(merged, subscribers, from)
	})
	if merged == nil {
		merged = first
	}
	for s, r := range merged {
		if s == from && r.noLocal {
			continue
		}
		s.offer(offered{message: m, qos: min(m.QoS, r.qos), retain: m.Retain && r.retainPublished})
	}
}

// merge adds subscribers to those already found.
func merge(into, subscribers map[*session]request, from *session) {
	for s, r := range subscribers {
		if s == from && r.noLocal {
			continue
		}
		if other, ok := into[s]; ok {
			r.qos = max(r.qos, other.qos) // [MQTT-3.3.5-1]
			r.retainPublished = r.retainPublished || other.retainPublished
		}
		into[s] = r
	}
}

// retain keeps m, or forgets what is kept under its topic if it has no payload
// [MQTT-3.3.1-10]. It returns false if there is no room.
func (t *topics) retain(m *types.Message) bool {
	if types.TooDeep(m.Topic) {
		return false
	}
	old, count, size := t.retained.Get(m.Topic), t.retainedCount, t.retainedBytes
	if old != nil {
		count, size = count-1, size-old.message.Size()
	}
	if len(m.Payload) == 0 {
		if old != nil {
			t.retained.Remove(m.Topic)
			t.retainedCount, t.retainedBytes = count, size
		}
		return true
	}
	count, size = count+1, size+m.Size()
	if count > maxRetained || size > maxRetainedBytes {
		return false
	}
	own := *m // so that it does not hold on to what m is part of
	place, _ := t.retained.At(m.Topic)
	*place = retained{message: &own}
	if m.Expiry > 0 {
		place.until = time.Now().Add(m.Expiry)
	}
	t.retainedCount, t.retainedBytes = count, size
	return true
}

// kept is the number of retained messages.
func (t *topics) kept() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.retainedCount
}
