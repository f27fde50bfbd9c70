package listener

import (
	"fmt"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// maxFilters is how many subscriptions a client may have, and maxFilterBytes about
// what they may take in memory, in bytes.
const (
	maxFilters     = 10_000
	maxFilterBytes = 32 << 20
)

// read takes the client's packets until there is a reason to end the session,
// which it returns. Publishes that arrived together are handed on together.
func (s *session) read() error {
	defer s.handOn()
	for {
		if !s.in.ready() {
			s.handOn()
			if err := s.throttle(); err != nil {
				return err
			}
		}
		h, err := s.in.next()
		if err != nil {
			return err
		}
		if h.kind == packets.Publish {
			p, err := s.in.publish(h)
			if err != nil {
				return err
			}
			s.arrived = append(s.arrived, s.pending(p))
			continue
		}
		body, err := s.in.body(h.length)
		if err != nil {
			return err
		}
		s.arrive() // what came before it
		if err := s.handle(h.kind, body); err != nil {
			return err
		}
	}
}

// handle acts on a packet that is not PUBLISH.
func (s *session) handle(kind byte, body []byte) error {
	switch kind {
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		id, code, err := decodeAck(body, kind, s.version)
		if err != nil {
			return err
		}
		s.acknowledged(kind, id, code)
		return nil
	case packets.Subscribe:
		return s.subscribe(body)
	case packets.Unsubscribe:
		return s.unsubscribe(body)
	case packets.Pingreq:
		if len(body) > 0 {
			return malformed("PINGREQ with content")
		}
		s.reply([]byte{packets.Pingresp << 4, 0})
		return nil
	case packets.Disconnect:
		code, expiry, err := decodeDisconnect(body, s.version)
		s.parting = expiry
		switch {
		case err != nil:
			return err
		case expiry != nil && *expiry > 0 && !s.connect.kept: // [MQTT5-3.14.2.2.2]
			return &protocolError{code: codeProtocolError, text: "a session that was to end is to be kept after all"}
		case code == codeDisconnectWithWill:
			return errGoodbyeWithWill
		}
		return errGoodbye
	}
	return &protocolError{code: codeProtocolError, text: "a second CONNECT"} // [MQTT-3.1.0-2]
}

// acknowledged takes an answer to a message of ours, or the PUBREL of one of
// the client's.
func (s *session) acknowledged(kind byte, id uint16, code byte) {
	s.mu.Lock()
	if kind == packets.Pubrel {
		if known, ok := s.intake.release(id); ok {
			s.releasing.due = append(s.releasing.due, released{id, known})
			s.pubrels = true
		}
	} else if s.durable != nil {
		s.out.replies = s.durable.acked(kind, id, code, s.out.replies)
	} else {
		s.out.acked(kind, id, code)
	}
	wake := len(s.out.replies) > 0 || s.out.queue.len() > 0 || s.durable != nil
	s.mu.Unlock()
	if wake {
		s.signal()
	}
}

// subscribe makes the subscriptions, answers, and then offers what is retained:
// whoever has read SUBACK misses nothing, and reads it first unless something
// is published at this very moment [MQTT-3.8.4].
func (s *session) subscribe(body []byte) error {
	id, requests, err := decodeSubscribe(body, s.version)
	if err != nil {
		return err
	}
	codes := make([]byte, len(requests))
	replay := make([]bool, len(requests))
	for i, r := range requests {
		codes[i] = r.refused(s.version, s.allowed())
		if codes[i] == 0 {
			codes[i] = s.remember(r.filter)
		}
		if codes[i] == 0 {
			codes[i] = byte(r.qos)
			fresh := s.server.topics.subscribe(s, r)
			replay[i] = r.retainHandling == 0 || r.retainHandling == 1 && fresh
		}
	}
	if s.durable != nil {
		s.beginReplay()
		if err := s.subscribeStored(requests, codes); err != nil {
			return err
		}
	}
	s.reply(encodeSuback(id, codes, s.version))
	var due []request
	for i, r := range requests {
		if replay[i] && codes[i] < codeUnspecified {
			due = append(due, r)
		}
	}
	if s.durable != nil {
		last, err := s.replayStored(due)
		s.endReplay(last)
		return err
	}
	for _, r := range due {
		s.server.topics.replay(s, r)
		s.server.sys.replay(s, r)
	}
	return nil
}

// remember notes a filter, or returns why it is not taken.
func (s *session) remember(filter string) byte {
	if s.filters[filter] {
		return 0
	}
	reason := ""
	switch {
	case len(s.filters) == maxFilters, s.filterBytes+filterWeight(filter) > maxFilterBytes:
		reason = fmt.Sprintf("a client has at most %d subscriptions, which take at most %d MiB of memory", maxFilters, maxFilterBytes>>20)
	case !s.server.topics.hasRoomFor(filter):
		reason = fmt.Sprintf("the subscriptions of all clients take %d MiB of memory, and no more than that", maxSubscriptions>>20)
	default:
		s.filters[filter] = true
		s.filterBytes += filterWeight(filter)
		return 0
	}
	if s.server.logged.first(s.about("subscriptions"), time.Now()) {
		s.log.Warn("subscriptions are refused", "reason", reason)
	}
	if s.version == mqtt5 {
		return codeQuota
	}
	return codeUnspecified
}

// forgetFilter is for one that is not subscribed to any more.
func (s *session) forgetFilter(filter string) {
	if s.filters[filter] {
		delete(s.filters, filter)
		s.filterBytes -= filterWeight(filter)
	}
}

// filterWeight is about what a subscription takes in memory, at most.
func filterWeight(filter string) int {
	return subscriptionBytes + len(filter) + types.TreeNode*(1+strings.Count(filter, "/"))
}

func (s *session) unsubscribe(body []byte) error {
	id, filters, err := decodeUnsubscribe(body, s.version)
	if err != nil {
		return err
	}
	codes := make([]byte, len(filters))
	for i, filter := range filters {
		s.forgetFilter(filter)
		if !s.server.topics.unsubscribe(s, filter) {
			codes[i] = codeNoSubscription
		}
	}
	if s.durable != nil {
		if _, err := s.durable.stored.Unsubscribe(s.life, filters); err != nil {
			return &storeFault{err}
		}
	}
	s.reply(encodeUnsuback(id, codes, s.version))
	return nil
}

// reply hands an encoded answer to the writer.
func (s *session) reply(b []byte) {
	s.mu.Lock()
	s.out.replies = append(s.out.replies, b...)
	s.mu.Unlock()
	s.signal()
}
