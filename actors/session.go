package actors

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
)

// The mark of a session [S3.4] is several marks of the queue, each with what its
// name says:
//
//	session/broker           the name of the broker that has it (Broker.Name)
//	session/client_id        the client id that it is kept under
//	session/store            the id of the store that the mark is in, 16 bytes
//	session/filter/<filter>  one byte, the QoS: a filter that was granted, or 255:
//	                         one that was asked for
//	session/window           uvarint: the largest window that was used with it
//	session/qos2_window      uvarint: that for messages with QoS 2
//	session/reserved         two uvarints: the first and the last number that may be
//	                         in flight, where the messages are in another queue
//	session/quarantined      uvarint: how many messages the queue had lost to damage
//	                         when their handshakes were finished last
const (
	// SessionMark begins the keys of all of them.
	SessionMark = "session/"

	markBroker   = "session/broker"
	markClientID = "session/client_id"
	markStore    = "session/store"
	markFilter   = "session/filter/"
	markWindow   = "session/window"
	markWindow2  = "session/qos2_window"
	markReserved = "session/reserved"

	markQuarantined = "session/quarantined"
)

// sessionMark says whose session with whom it is.
type sessionMark struct {
	broker   string
	clientID string
	store    persistence.StoreID
}

// sessionOf reads the mark; it is the zero mark if there is none.
func sessionOf(m Marks) sessionMark {
	var s sessionMark
	for _, mark := range m.List {
		switch mark.Key {
		case markBroker:
			s.broker = string(mark.Value)
		case markClientID:
			s.clientID = string(mark.Value)
		case markStore:
			copy(s.store[:], mark.Value)
		}
	}
	return s
}

// differs says why a session that is marked as s may not be used as wanted; ""
// if it may. Brokers of one cluster are one.
func (s sessionMark) differs(wanted sessionMark, cluster []Broker) string {
	switch {
	case s == sessionMark{}:
		return "nothing is known of a session with the broker"
	case s.store != wanted.store:
		return "what is known of the session belongs to another store"
	case s.clientID != wanted.clientID:
		return fmt.Sprintf("the client id is %q and no longer %q", wanted.clientID, s.clientID)
	case s.broker == wanted.broker:
		return ""
	}
	for _, b := range cluster {
		if b.Name == s.broker {
			return ""
		}
	}
	return fmt.Sprintf("the last session was with %s", s.broker)
}

// marks is what stores s in place of what there is.
func (s sessionMark) marks(old []persistence.Mark) []persistence.Mark {
	var list []persistence.Mark
	for _, m := range old {
		list = append(list, persistence.Mark{Key: m.Key})
	}
	return append(list,
		persistence.Mark{Key: markBroker, Value: []byte(s.broker)},
		persistence.Mark{Key: markClientID, Value: []byte(s.clientID)},
		persistence.Mark{Key: markStore, Value: s.store[:]})
}

// windows is how many messages may be in flight, and how many of them with QoS 2.
type windows struct{ all, exact int }

// windowsOf is how many messages may have been in flight; 0 where that is not
// known.
func windowsOf(marks []persistence.Mark) windows {
	var w windows
	for _, m := range marks {
		switch n, used := binary.Uvarint(m.Value); {
		case used <= 0:
		case m.Key == markWindow:
			w.all = int(min(n, packetIDs))
		case m.Key == markWindow2:
			w.exact = int(min(n, packetIDs))
		}
	}
	return w
}

// marks is what stores the larger ones of w and had, if that is not had.
func (w windows) marks(had windows) []persistence.Mark {
	var list []persistence.Mark
	add := func(key string, n, had int) {
		if n > had {
			list = append(list, persistence.Mark{Key: key, Value: binary.AppendUvarint(nil, uint64(n))})
		}
	}
	add(markWindow, w.all, had.all)
	add(markWindow2, w.exact, had.exact)
	return list
}

func filterMark(f broker.Filter) persistence.Mark {
	return persistence.Mark{Key: markFilter + f.Topic, Value: []byte{byte(f.QoS)}}
}

// cutFilterMark returns the filter that m is about, if it is about one.
func cutFilterMark(m persistence.Mark) (filter string, ok bool) {
	filter, ok = strings.CutPrefix(m.Key, markFilter)
	return filter, ok && len(m.Value) == 1
}
