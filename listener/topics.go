package listener

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// Bounds of what is retained, here in memory.
const (
	maxRetained      = 10_000
	maxRetainedBytes = 16 << 20
	maxRetainedNodes = 200_000 // of the tree: levels of topics that no other one shares

	// maxSubscriptions bounds about what all subscriptions of clients that are
	// connected take in memory, in bytes, and subscriptionBytes is what each does
	// besides its filter and the nodes of the tree.
	maxSubscriptions  = 128 << 20
	subscriptionBytes = 450
)

// topics knows who subscribed to what, and the retained messages. Its methods
// may be called concurrently. Its lock is taken before that of a session, never
// after it.
type topics struct {
	mu            sync.RWMutex
	subscriptions types.Tree[map[*session]request]
	count         atomic.Int64 // of subscriptions
	filterBytes   int          // of their filters
	retained      types.Tree[retained]
	retainedCount int
	retainedBytes int
	expires       time.Time // none of the retained messages is gone before; zero: none ever is
	lastSeq       types.Seq // used by keep
	stored        bool      // somebody else calls retain, with what is committed
}

// retained is a retained message. It is gone after until, unless that is zero.
type retained struct {
	message *types.Message
	seq     types.Seq // of its acceptance; a higher one is newer
	until   time.Time
}

// at is the message with what is left of its expiry; nil if that is nothing.
func (r *retained) at(now time.Time) *types.Message {
	if r.until.IsZero() {
		return r.message
	}
	m := *r.message
	if !now.Before(r.until) || !countDown(&m, m.Expiry-r.until.Sub(now)) {
		return nil
	}
	return &m
}

// hasRoomFor says whether another subscription fits into memory.
func (t *topics) hasRoomFor(filter string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	weight := (t.subscriptions.Nodes()+t.subscriptions.Missing(filter))*types.TreeNode + t.filterBytes + len(filter) + int(t.count.Load()+1)*subscriptionBytes
	return weight <= maxSubscriptions
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
		t.filterBytes += len(r.filter)
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
		m := kept.at(now)
		return m == nil || s.offer(offered{message: m, qos: min(m.QoS, r.qos), retain: true, kept: true})
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
		t.filterBytes -= len(filter)
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
		kept = t.stored || t.keep(m)
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
		qos := min(m.QoS, r.qos)
		if qos > 0 && s.isDurable() {
			continue // it comes from the store
		}
		s.offer(offered{message: m, qos: qos, retain: m.Retain && r.retainPublished})
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

// keep is retain for a table that nobody stores. It returns false if there is no
// room.
func (t *topics) keep(m *types.Message) bool {
	room := t.hasRoom(m)
	if room || t.replaces(m) {
		t.lastSeq++
		t.retain(t.lastSeq, m, time.Now())
	}
	return room
}

// hasRoom says whether m can be retained, perhaps in the place of messages that have
// expired.
func (t *topics) hasRoom(m *types.Message) bool {
	return t.fits(m) || t.someExpired(time.Now()) && !types.TooDeep(m.Topic)
}

// replaces says whether m ends another message's being retained, which it does also
// if there is no room for itself: an old value is worse than none [MQTT-3.3.1-7].
func (t *topics) replaces(m *types.Message) bool {
	return !types.TooDeep(m.Topic) && t.retained.Get(m.Topic) != nil
}

func (t *topics) someExpired(now time.Time) bool { return !t.expires.IsZero() && now.After(t.expires) }

// expire forgets the messages that have expired, and returns their numbers.
func (t *topics) expire(now time.Time) (done []types.Seq) {
	var over []retained
	t.expires = time.Time{}
	t.retained.TopicsOf("#", func(kept retained) bool {
		if kept.at(now) == nil {
			over = append(over, kept)
		} else {
			t.willExpire(kept.until)
		}
		return true
	})
	for _, kept := range over {
		t.retained.Remove(kept.message.Topic)
		t.retainedCount--
		t.retainedBytes -= kept.message.Size()
		done = append(done, kept.seq)
	}
	return done
}

// willExpire notes that a message is gone after until, unless that is zero.
func (t *topics) willExpire(until time.Time) {
	if !until.IsZero() && (t.expires.IsZero() || until.Before(t.expires)) {
		t.expires = until
	}
}

// fits says whether m can be retained beside all that is.
func (t *topics) fits(m *types.Message) bool {
	if len(m.Payload) == 0 {
		return true
	}
	if types.TooDeep(m.Topic) {
		return false
	}
	count, size := t.retainedCount+1, t.retainedBytes+m.Size()
	if old := t.retained.Get(m.Topic); old != nil {
		count, size = count-1, size-old.message.Size()
	}
	return count <= maxRetained && size <= maxRetainedBytes && t.retained.Nodes()+t.retained.Missing(m.Topic) <= maxRetainedNodes
}

// retain keeps m, accepted under that number at that time, unless there is
// something newer, or forgets what is kept under its topic if it has no payload
// [MQTT-3.3.1-10]. It returns the numbers that are not needed any more.
func (t *topics) retain(seq types.Seq, m *types.Message, since time.Time) (done []types.Seq) {
	if now := time.Now(); !t.fits(m) && t.someExpired(now) {
		done = t.expire(now)
	}
	var old *retained
	if !types.TooDeep(m.Topic) {
		old = t.retained.Get(m.Topic)
	}
	if old != nil && old.seq > seq {
		return append(done, seq)
	}
	room := t.fits(m)
	if old != nil {
		done = append(done, old.seq)
		t.retainedCount--
		t.retainedBytes -= old.message.Size()
	}
	if len(m.Payload) == 0 || !room {
		if old != nil {
			t.retained.Remove(m.Topic)
		}
		return append(done, seq)
	}
	own := *m // so that it does not hold on to what m is part of
	place, _ := t.retained.At(m.Topic)
	*place = retained{message: &own, seq: seq}
	if m.Expiry > 0 {
		place.until = since.Add(m.Expiry)
		t.willExpire(place.until)
	}
	t.retainedCount++
	t.retainedBytes += m.Size()
	return done
}

// retainedFor returns the retained messages of a filter with their numbers.
func (t *topics) retainedFor(filter string, now time.Time) (list []types.Message, numbers []types.Seq) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.retained.TopicsOf(filter, func(kept retained) bool {
		if m := kept.at(now); m != nil {
			list, numbers = append(list, *m), append(numbers, kept.seq)
		}
		return true
	})
	return list, numbers
}

// areCurrent says of each delivery that is a copy of a retained message whether
// that is still retained.
func (t *topics) areCurrent(list []actors.Delivery) []bool {
	current := make([]bool, len(list))
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range list {
		if d := &list[i]; d.Copy {
			kept := t.retained.Get(d.Message.Topic)
			current[i] = kept != nil && uint64(kept.seq) == d.Origin.ID
		}
	}
	return current
}

// kept is the number of retained messages.
func (t *topics) kept() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.retainedCount
}
