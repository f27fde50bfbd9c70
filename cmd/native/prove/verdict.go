//go:build !js

package prove

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Verdict is what a run has shown for one QoS.
type Verdict struct {
	QoS        types.QoS
	Incoming   bool
	Messages   int // that were to be published
	Acked      int // by the gateway
	Arrived    int // of them and others, at least once
	Lost       Numbers
	Doubled    Numbers
	Reordered  Numbers // came after one that was published later
	Damaged    int     // changed on the way, or never published
	Kills      int     // of the gateway, done
	Cuts       int     // of its link, done
	Took       time.Duration
	Incomplete bool   // it was not run to its end
	Books      *Books // what the gateway said in the end; nil if it did not get there

	// RepeatedByBroker counts what the broker delivered to the subscriber again
	// because the link between those two was lost: that is not the gateway's.
	RepeatedByBroker int

	copies        int // arrivals beyond the first
	allowedCopies int // of them may be, at QoS 0 and 1
	allowedLost   int // at QoS 0
}

// Books are a gateway's own count.
type Books struct{ Accepted, Sent uint64 }

// Proven says whether everything came as it should have: what the gateway has
// acknowledged is there, unchanged, in order, and at QoS 2 once. At QoS 1 what
// was in flight at a kill or a cut may have come twice; at QoS 0 it may also be
// missing.
func (v *Verdict) Proven() bool { return !v.Incomplete && v.Messages == v.Acked && v.complaint() == "" }

// complaint says what is wrong with what came, "" if nothing is.
func (v *Verdict) complaint() string {
	var wrong []string
	if !v.Incomplete && v.Lost.Count > v.allowedLost {
		wrong = append(wrong, "acknowledged and lost: "+v.Lost.String())
	}
	if v.copies > v.allowedCopies {
		wrong = append(wrong, "came more than once: "+v.Doubled.String())
	}
	if v.Reordered.Count > 0 {
		wrong = append(wrong, "came late: "+v.Reordered.String())
	}
	if v.Damaged > 0 {
		wrong = append(wrong, thousands(v.Damaged)+" that nobody published like that")
	}
	return strings.Join(wrong, "; ")
}

// Numbers are numbers of messages, from 0; the first of them are kept.
type Numbers struct {
	Count  int
	ranges [][2]int // first and last, each
}

const keptRanges = 5

func (n *Numbers) add(number int) {
	n.Count++
	last := len(n.ranges) - 1
	switch {
	case last >= 0 && n.ranges[last][1]+1 == number:
		n.ranges[last][1] = number
	case last+1 <= keptRanges: // one more than is shown, to know that there are more
		n.ranges = append(n.ranges, [2]int{number, number})
	}
}

// String is like "52 messages (number 7, 100 to 150)".
func (n *Numbers) String() string {
	var parts []string
	for _, r := range n.ranges[:min(len(n.ranges), keptRanges)] {
		text := strconv.Itoa(r[0])
		if r[1] > r[0] {
			text += " to " + strconv.Itoa(r[1])
		}
		parts = append(parts, text)
	}
	if len(n.ranges) > keptRanges {
		parts = append(parts, "…")
	}
	word := "messages"
	if n.Count == 1 {
		word = "message"
	}
	return fmt.Sprintf("%s %s (number %s)", thousands(n.Count), word, strings.Join(parts, ", "))
}

// thousands is n with a comma after each three digits.
func thousands(n int) string {
	digits := []byte(strconv.Itoa(n))
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = slices.Insert(digits, i, ',')
	}
	return string(digits)
}
