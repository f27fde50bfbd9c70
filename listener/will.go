package listener

import "github.com/mqttdb/mqttdb/types"

// publishWill stores the will of a session that did not say goodbye
// [MQTT-3.1.2-8], and delivers it. It returns when that is done, or when the
// server gives up.
func (s *session) publishWill() {
	m := *s.will
	server := s.server
	switch {
	case reserved(m.Topic), !s.allowed().mayPublish(m.Topic):
		server.stats.refuse(refusedNotAllowed)
		s.log.Warn("the will of a client is refused", "topic", m.Topic, "reason", refusedNotAllowed)
		return
	case len(m.Payload) > server.options.MaxMessageSize:
		server.stats.refuse(refusedTooLarge)
		return
	case server.lingering.Load() > maxLingering:
		server.stats.refuse(refusedNotStored)
		return
	}
	room := make(chan struct{}, 1)
	done := make(chan error, 1)
	passage := []types.Passage{{Message: m, Done: func(err error) { done <- err }}}
	for server.options.Sink.Publish(passage, func() { room <- struct{}{} }) == 0 {
		select {
		case <-room:
		case <-server.abandoned:
			server.stats.refuse(refusedNotStored)
			return
		}
	}
	select {
	case err := <-done:
		if err != nil {
			server.stats.refuse(refusalOf(err))
			s.log.Warn("the will of a client could not be stored", "topic", m.Topic, "error", err)
			return
		}
		server.route(&m, nil)
	case <-server.abandoned:
		server.stats.refuse(refusedNotStored)
	}
}
