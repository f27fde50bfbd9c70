//go:build !js

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// remark is something about a connection that an operator should know.
type remark struct {
	text   string
	urgent bool // it wants somebody to do something
}

func (r remark) sign() string {
	if r.urgent {
		return "!"
	}
	return " "
}

// remarks is a list of them.
type remarks []remark

func (l *remarks) urgent(format string, args ...any) {
	*l = append(*l, remark{fmt.Sprintf(format, args...), true})
}

func (l *remarks) add(format string, args ...any) {
	*l = append(*l, remark{fmt.Sprintf(format, args...), false})
}

// remarksOn are those on a connection, urgent ones first.
func remarksOn(s types.Status) remarks {
	var l remarks
	if s.LastError != "" { // online, too: linked to another broker, a subscription refused
		line := s.LastError
		if s.Hint != "" {
			line += " (" + s.Hint + ")"
		}
		if s.NextAttempt != nil {
			line += fmt.Sprintf("; next attempt in %s", max(0, time.Until(*s.NextAttempt)).Round(time.Second))
		}
		l.urgent("%s", line)
	}
	l.ofOutgoing(s)
	l.ofIncoming(s)
	l.ofClients(s.Clients)
	slices.SortStableFunc(l, func(a, b remark) int { return strings.Compare(b.sign(), a.sign()) })
	return l
}

// ofOutgoing are those on what is to be sent.
func (l *remarks) ofOutgoing(s types.Status) {
	q := s.Outgoing
	if q.Trouble != "" {
		l.urgent("cannot store: %s", q.Trouble)
	}
	if q.Unread {
		l.urgent("what is stored could not be read since the start: nobody knows how much is pending")
	}
	if q.Full != "" {
		l.urgent("%s; whoever publishes waits, and nothing is lost by that", q.Full)
	}
	if q.DeadPending > 0 {
		l.urgent("%s: mqttdb messages %s --queue dead shows why", count(q.DeadPending, "dead letter"), s.Name)
	}
	if q.Kept > 0 {
		l.add("%d messages that were sent are kept: mqttdb replay %s sends them again", q.Kept, s.Name)
	}
	l.ofLimits("", q)
	l.ofQueue("", s.Name, q)
	if n := q.Refused; n > 0 && s.Clients == nil { // of local clients, their own counters tell
		l.add("%s refused since the start%s", count(n, "message"), byReason(q.RefusedBy))
	}
}

// ofIncoming are those on what came from the broker.
func (l *remarks) ofIncoming(s types.Status) {
	q := s.Incoming
	if q.Trouble != "" {
		l.urgent("cannot store what the broker sends, which therefore has to wait: %s", q.Trouble)
	}
	if q.Unread {
		l.urgent("incoming: what is stored could not be read since the start")
	}
	if q.Full != "" {
		l.urgent("incoming: %s; the broker waits, and nothing is lost by that", q.Full)
	}
	if q.DeadPending > 0 {
		l.urgent("incoming: %s: mqttdb messages %s --queue incoming_dead shows why", count(q.DeadPending, "dead letter"), s.Name)
	}
	if q.Pending > 0 {
		l.add("incoming: %s pending, for those who have not got them: mqttdb messages %s --queue incoming", count(q.Pending, "message"), s.Name)
	}
	l.ofLimits("incoming: ", q)
	l.ofQueue("incoming: ", s.Name, q)
	if q.Refused > 0 {
		l.add("incoming: %s refused since the start%s", count(q.Refused, "message"), byReason(q.RefusedBy))
	}
}

// ofLimits say that a queue is near a limit, and what happens there. One that is full
// has said so.
func (l *remarks) ofLimits(prefix string, q types.QueueStatus) {
	limits := q.Limits
	if limits == nil || q.Full != "" || q.Unread {
		return
	}
	const near = 0.8 // of a limit
	if most := limits.MaxMessages; most > 0 && float64(q.Pending) >= near*float64(most) {
		l.add("%s%d of %d messages (max_messages, overflow: %s)", prefix, q.Pending, most, limits.Overflow)
	}
	if most := limits.MaxBytes; most > 0 && float64(q.Bytes) >= near*float64(most) {
		l.add("%s%s of %s (max_bytes, overflow: %s)", prefix, inUnits(q.Bytes), inUnits(most), limits.Overflow)
	}
}

// ofQueue are those on either direction; prefix says which.
func (l *remarks) ofQueue(prefix, name string, q types.QueueStatus) {
	var left []string
	for _, reason := range slices.Sorted(maps.Keys(q.DroppedBy)) {
		if n := q.DroppedBy[reason]; n > 0 {
			left = append(left, fmt.Sprintf("%d dropped (%s)", n, reason))
		}
	}
	if len(left) == 0 && q.Dropped > 0 {
		left = append(left, fmt.Sprintf("%d dropped", q.Dropped))
	}
	if q.Expired > 0 {
		left = append(left, fmt.Sprintf("%d expired", q.Expired))
	}
	if q.Cleared > 0 {
		left = append(left, fmt.Sprintf("%d cleared", q.Cleared))
	}
	if len(left) > 0 {
		l.add("%sof %d accepted, not sent: %s", prefix, q.Accepted, strings.Join(left, ", "))
	}
	if q.Quarantined > 0 {
		l.add("%s%d quarantined: found missing or unreadable; mqttdb verify %s reads everything and says where", prefix, q.Quarantined, name)
	}
	if q.DuplicatesPossible {
		l.add("%safter damage to the store some messages may be delivered twice", prefix)
	}
	if q.DowntimeUnknown {
		l.add("%sthe clock was set back, or the gateway was off for more than 30 days: that time does not count for max_age and ttl", prefix)
	}
}

// ofClients are those on the clients of the local broker; nil: there are none.
func (l *remarks) ofClients(c *types.ClientsStatus) {
	if c == nil {
		return
	}
	for _, reason := range slices.Sorted(maps.Keys(c.Refused)) {
		if n := c.Refused[reason]; n > 0 {
			l.add("%d messages of local clients were refused since the start: %s", n, reason)
		}
	}
	if c.Dropped > 0 {
		l.add("%d messages since the start did not reach a local client that reads too slowly or takes none so large", c.Dropped)
	}
	if c.TurnedAway > 0 {
		l.add("%d connections of local clients were not let in since the start: the log says why, for each host once a minute", c.TurnedAway)
	}
}

// byReason lists counters: ": 5 full, 2 too_large"; "" if there are none.
func byReason(counts map[string]uint64) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[reason]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, reason))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return ": " + strings.Join(list, ", ")
}

// count is "1 dead letter", "2 dead letters".
func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
