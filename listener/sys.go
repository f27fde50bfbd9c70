package listener

import (
	"strconv"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// sysInterval is how often the topics of $SYS are published.
const sysInterval = 10 * time.Second

// sysTopics are the messages of $SYS, and those that were reported. They are kept in
// memory only, apart from those that clients have published.
type sysTopics struct {
	mu   sync.RWMutex
	kept types.Tree[*types.Message]
}

// set keeps m, and says whether it says something new.
func (t *sysTopics) set(m *types.Message) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	place, existed := t.kept.At(m.Topic)
	if existed && string((*place).Payload) == string(m.Payload) {
		return false
	}
	*place = m
	return true
}

// remove forgets what is kept for a topic, and says whether something was.
func (t *sysTopics) remove(topic string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	had := t.kept.Get(topic) != nil
	t.kept.Remove(topic)
	return had
}

// replay offers what is kept to a session that has just subscribed.
func (t *sysTopics) replay(s *session, r request) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.kept.TopicsOf(r.filter, func(m *types.Message) bool {
		return s.offer(offered{message: m, retain: true, kept: true})
	})
}

// Report keeps payload as the retained message of a topic of the broker's own, as
// below $mqttdb, in memory only, and gives it to those who have subscribed to that if
// it is another one than before. An empty payload ends it. It does not wait for
// anybody, and may be called concurrently.
func (s *Server) Report(topic string, payload []byte) {
	m := &types.Message{Topic: topic, Payload: payload}
	if len(payload) == 0 && s.sys.remove(topic) || len(payload) > 0 && s.sys.set(m) {
		s.topics.route(m, nil)
	}
}

// reportSys publishes the topics of $SYS that have changed, at each tick, until
// the server closes. Their names are those that mosquitto gives them.
func (s *Server) reportSys(tick <-chan time.Time) {
	started := time.Now()
	for {
		for _, v := range s.sysValues(time.Since(started)) {
			m := &types.Message{Topic: "$SYS/broker/" + v.topic, Payload: []byte(v.text)}
			if s.sys.set(m) {
				s.topics.route(m, nil)
			}
		}
		select {
		case <-s.quit:
			return
		case <-tick:
		}
	}
}

// sysValue is a topic below $SYS/broker, and its payload.
type sysValue struct{ topic, text string }

func (s *Server) sysValues(up time.Duration) []sysValue {
	now := s.Stats()
	count := func(topic string, n uint64) sysValue { return sysValue{topic, strconv.FormatUint(n, 10)} }
	return []sysValue{
		{"version", s.options.Version},
		{"uptime", strconv.Itoa(int(up.Seconds())) + " seconds"},
		count("clients/connected", uint64(now.Clients)),
		count("messages/received", now.PacketsIn),
		count("messages/sent", now.PacketsOut),
		count("bytes/received", now.BytesIn),
		count("bytes/sent", now.BytesOut),
		count("publish/messages/received", now.Received),
		count("publish/messages/sent", now.Delivered),
		count("publish/messages/dropped", now.Dropped),
		count("retained messages/count", uint64(now.Retained)),
		count("subscriptions/count", uint64(now.Subscriptions)),
	}
}
