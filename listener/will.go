package listener

import (
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// will is the message of a client that is gone without a word [MQTT-3.1.2-8].
type will struct {
	message types.Message
	account *account // whose it is; nil: anybody's
	log     *slog.Logger
}

// holdWill keeps the will of s, whose connection is gone, for the time that its
// client wants it to wait, and returns it; nil: it does not wait.
func (s *session) holdWill() *lateWill {
	if s.will == nil || s.ending.polite {
		return nil
	}
	delay := min(s.connect.willDelay, s.remains())
	if delay <= 0 {
		return nil
	}
	return s.server.wills.hold(s.key, will{*s.will, s.account.Load(), s.log}, delay)
}

// remains is how long the session is there once the connection is gone.
func (s *session) remains() time.Duration {
	expiry, kept := s.connect.expiry, s.connect.kept
	if last := s.ending.expiry; last != nil {
		expiry, kept = *last, *last != 0
	}
	if s.durable == nil || !kept {
		return 0
	}
	return s.server.options.Sessions.SessionExpiry(expiry)
}

// lastWill publishes the will of s, once all that its client sent is stored, unless
// there is none, or it waits. late is what holdWill has returned.
func (s *session) lastWill(late *lateWill) {
	server := s.server
	switch {
	case late != nil:
		if server.wills.release(late) {
			server.publishLate([]*lateWill{late})
		}
	case s.will == nil || s.ending.polite:
	case server.lingering.Load() > maxLingering:
		server.stats.refuse(refusedNotStored)
	default:
		server.publishWills([]will{{*s.will, s.account.Load(), s.log}})
	}
}

// publishLate publishes wills that have waited, by the rules that hold now.
func (s *Server) publishLate(list []*lateWill) {
	wills := make([]will, len(list))
	for i, late := range list {
		wills[i] = late.will
		if a := late.account; a != nil {
			if wills[i].account = (*s.users.Load())[a.name]; wills[i].account == nil {
				wills[i].account = &account{} // who is gone may do nothing
			}
		}
	}
	s.publishWills(wills)
	s.wills.published(list)
}

// publishWills stores wills, and delivers them. It returns when that is done, or
// when the server gives up.
func (s *Server) publishWills(list []will) {
	type outcome struct {
		will *will
		err  error
	}
	done := make(chan outcome, len(list))
	room := make(chan struct{}, 1)
	given := 0
	for i := range list {
		w := &list[i]
		if !s.mayLeave(w) {
			continue
		}
		passage := []types.Passage{{Message: w.message, Done: func(err error) { done <- outcome{w, err} }}}
		for s.options.Sink.Publish(passage, func() { room <- struct{}{} }) == 0 {
			select {
			case <-room:
			case <-s.abandoned:
				s.stats.refused[refusedNotStored].Add(uint64(given + len(list) - i))
				return
			}
		}
		given++
	}
	for ; given > 0; given-- {
		select {
		case o := <-done:
			if o.err != nil {
				s.stats.refuse(refusalOf(o.err))
				o.will.log.Warn("the will of a client could not be stored", "topic", o.will.message.Topic, "error", o.err)
				continue
			}
			s.route(&o.will.message, nil)
		case <-s.abandoned:
			s.stats.refused[refusedNotStored].Add(uint64(given))
			return
		}
	}
}

// mayLeave says whether a will may be published.
func (s *Server) mayLeave(w *will) bool {
	m := &w.message
	switch {
	case reserved(m.Topic), w.account != nil && !w.account.allowed.mayPublish(m.Topic):
		s.stats.refuse(refusedNotAllowed)
		w.log.Warn("the will of a client is refused", "topic", m.Topic, "reason", refusedNotAllowed)
		return false
	case len(m.Payload) > s.options.MaxMessageSize:
		s.stats.refuse(refusedTooLarge)
		return false
	}
	return true
}
