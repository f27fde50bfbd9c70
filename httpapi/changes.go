package httpapi

import (
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// How often events of one kind are told of one queue or connection at most: under
// overflow a message is dropped for each that comes.
const (
	countsInterval = 10 * time.Second
	failedInterval = time.Minute
)

// changes finds out what happened between one status and the next. It has neither
// clock nor I/O, and belongs to one goroutine.
type changes struct {
	before map[string]types.Status
	told   map[subject]account
	found  []Event
	now    time.Time
}

// subject is what is told at most so often.
type subject struct {
	connection, queue string
	kind              Kind
}

// account is what was told of a subject.
type account struct {
	count uint64
	text  string
	at    time.Time // of the event; zero: there was none
}

func newChanges() *changes {
	return &changes{before: map[string]types.Status{}, told: map[subject]account{}}
}

// compare returns what happened up to now, when the statuses are all. What was held
// back comes with a later call, also if nothing else has changed.
func (c *changes) compare(now time.Time, all []types.Status) []Event {
	c.now, c.found = now, nil
	present := make(map[string]types.Status, len(all))
	for _, s := range all {
		present[s.Name] = s
		before, known := c.before[s.Name]
		if !s.Orphan && s.Name != runtime.LocalName { // these have no link
			c.link(before, s)
		}
		c.queue(s.Name, "outgoing", before.Outgoing, s.Outgoing, known)
		c.queue(s.Name, "incoming", before.Incoming, s.Incoming, known)
	}
	for subject := range c.told {
		if _, ok := present[subject.connection]; !ok {
			delete(c.told, subject)
		}
	}
	c.before = present
	return c.found
}

func (c *changes) add(connection string, kind Kind, text, hint string) {
	c.found = append(c.found, Event{At: c.now.UnixMilli(), Connection: connection, Kind: kind, Text: text, Hint: hint})
}

// link tells how the link of a connection does.
func (c *changes) link(before, s types.Status) {
	was, is := before.State, s.State
	if is == types.Online && was == types.Online && s.Since.Equal(before.Since) || is == was && is != types.Online {
		c.failed(s)
		return
	}
	linked := was == types.Online || was == types.Stalled
	if was == types.Paused {
		c.add(s.Name, Resumed, "resumed", "")
	}
	switch {
	case is == types.Online && was == types.Stalled:
		c.add(s.Name, Connected, "the broker acknowledges again", "")
	case is == types.Online:
		c.add(s.Name, Connected, "connected to "+s.Broker, "")
		delete(c.told, subject{s.Name, "", Failed})
	case is == types.Stalled:
		c.add(s.Name, Stalled, "connected, but the broker acknowledges nothing", s.Hint)
	case is == types.Paused:
		c.add(s.Name, Paused, "paused: messages are stored and not sent", "")
	case linked && is != types.Refused:
		c.add(s.Name, Disconnected, because("disconnected", s.LastError), s.Hint)
	default:
		c.failed(s)
	}
}

// failed tells why there is no link, unless that was told.
func (c *changes) failed(s types.Status) {
	at := subject{s.Name, "", Failed}
	told := c.told[at]
	kind, what := Failed, "cannot connect"
	if s.State == types.Refused {
		kind, what = Refused, "refused by the broker"
	} else if s.State != types.Backoff {
		return
	}
	if s.LastError == "" || s.LastError == told.text || c.now.Sub(told.at) < failedInterval {
		return
	}
	c.told[at] = account{text: s.LastError, at: c.now}
	c.add(s.Name, kind, because(what, s.LastError), s.Hint)
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// queue tells what happened to a queue.
func (c *changes) queue(connection, queue string, before, q types.QueueStatus, known bool) {
	switch {
	case q.Trouble != "" && before.Trouble == "":
		c.add(connection, Disk, fmt.Sprintf("the %s queue cannot store: %s", queue, q.Trouble), "")
	case q.Trouble == "" && before.Trouble != "":
		c.add(connection, Disk, fmt.Sprintf("the %s queue can store again", queue), "")
	}
	if q.Full != "" && before.Full == "" {
		at := subject{connection, queue, Full}
		if told := c.told[at]; c.now.Sub(told.at) >= countsInterval {
			c.told[at] = account{at: c.now}
			c.add(connection, Full, fmt.Sprintf("the %s queue is full: %s", queue, q.Full), "whoever publishes waits; drain or clear the queue, or raise its limits")
		}
	}
	if q.Unread {
		return // its counters are 0
	}
	known = known && !before.Unread
	of := " of the " + queue + " queue "
	c.count(subject{connection, queue, Dropped}, q.Dropped, known, of+"dropped", "limits.overflow says which; raise its limits")
	c.count(subject{connection, queue, Expired}, q.Expired, known, of+"expired", "")
	c.count(subject{connection, queue, Dead}, q.Dead, known, of+"set aside as dead letters", "the dead letters say why each")
	c.count(subject{connection, queue, Damage}, q.Quarantined, known, of+"damaged and set aside", "check the disk; docs/operations.md")
	c.count(subject{connection, queue, Cleared}, q.Cleared, known, of+"cleared", "")
}

// count tells how far a counter has gone up since it was told last.
func (c *changes) count(at subject, n uint64, known bool, what, hint string) {
	told, ok := c.told[at]
	switch {
	case !ok || !known || n < told.count: // what was before is no news
		c.told[at] = account{count: n}
	case n > told.count && (told.at.IsZero() || c.now.Sub(told.at) >= countsInterval):
		text := "1 message" + what
		if more := n - told.count; more > 1 {
			text = fmt.Sprintf("%d messages%s", more, what)
		}
		c.add(at.connection, at.kind, text, hint)
		c.told[at] = account{count: n, at: c.now}
	}
}
