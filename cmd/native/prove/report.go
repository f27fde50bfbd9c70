//go:build !js

package prove

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Proven says whether something was proven and nothing disproven.
func (r *Report) Proven() bool {
	for i := range r.Verdicts {
		if !r.Verdicts[i].Proven() {
			return false
		}
	}
	return len(r.Verdicts) > 0
}

// Print writes a table with a line for each QoS, what is wrong if something is,
// and what was not proven.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	if len(r.Verdicts) > 0 {
		fmt.Fprintf(&b, "%s, scratch store in %s, sync: %s\n\n", r.Broker, filepath.Dir(r.Store), r.Sync)
		r.table(&b)
	}
	for i := range r.Verdicts {
		r.Verdicts[i].explain(&b)
	}
	for _, u := range r.Unfit {
		fmt.Fprintf(&b, "QoS %d was not tried: %s\n", u.QoS, u.Reason)
	}
	for _, text := range r.Leftover {
		fmt.Fprintf(&b, "left behind: %s\n", text)
	}
	if r.Kept {
		fmt.Fprintf(&b, "kept: %s, with the store, the configuration and the log of the gateway; remove it when you have looked at it\n", r.Store)
	}
	if r.Proven() {
		b.WriteString(r.limits())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) table(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		if v.Incomplete {
			fmt.Fprintf(tw, "%s\t%s of %s acked, %s arrived, not finished\t%d kills\t%d cuts\t%v\t%s\n", v.name(), thousands(v.Acked), thousands(v.Messages),
				thousands(v.Arrived), v.Kills, v.Cuts, v.Took.Round(100*time.Millisecond), "NOT PROVEN")
			continue
		}
		result := "NOT PROVEN"
		if v.Proven() {
			result = "as promised"
		}
		fmt.Fprintf(tw, "%s\t%s acked, %s lost%s, %s doubled%s, %s reordered, %s damaged\t%d kills\t%d cuts\t%v\t%s\n", v.name(),
			thousands(v.Acked), thousands(v.Lost.Count), allowed(v.Lost.Count, v.allowedLost), thousands(v.copies), allowed(v.copies, v.allowedCopies),
			thousands(v.Reordered.Count), thousands(v.Damaged), v.Kills, v.Cuts, v.Took.Round(100*time.Millisecond), result)
	}
	tw.Flush()
}

// name is like "QoS 2" or "QoS 2 incoming".
func (v *Verdict) name() string {
	if v.Incoming {
		return fmt.Sprintf("QoS %d incoming", v.QoS)
	}
	return fmt.Sprintf("QoS %d", v.QoS)
}

// allowed says how many there may be, where there are any.
func allowed(n, most int) string {
	if n == 0 || most == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s allowed)", thousands(most))
}

// explain says what is wrong, and who may have done it.
func (v *Verdict) explain(w io.Writer) {
	if text := v.complaint(); text != "" {
		fmt.Fprintf(w, "%s: %s\n", v.name(), text)
		if b := v.Books; b != nil && v.Lost.Count > 0 {
			fmt.Fprintf(w, "%s: by its own books the gateway has stored %s (with what it was given twice) and sent %s. %s\n", v.name(), thousands(int(b.Accepted)), thousands(int(b.Sent)), v.suspect())
		}
	}
	if v.Reordered.Count > 0 {
		fmt.Fprintf(w, "%s: a broker that does not keep the order of a topic looks like that, too (that of AWS IoT Core does not)\n", v.name())
	}
	if v.RepeatedByBroker > 0 {
		fmt.Fprintf(w, "%s: the broker delivered %s again to the subscriber, whose own link was lost meanwhile: not counted\n", v.name(), thousands(v.RepeatedByBroker))
	}
}

// suspect says where lost messages may have got lost.
func (v *Verdict) suspect() string {
	if v.Books.Sent < uint64(v.Acked) {
		return "It has acknowledged more than that."
	}
	return "It says that the broker has acknowledged all: does the broker drop what it queues for a subscriber beyond some bound (mosquitto: max_queued_messages; try a smaller --backlog)?"
}

// limits says what acked means, and what a proof is none of.
func (r *Report) limits() string {
	who, other := "gateway", "- other topics, users and sizes than these; what the broker sends to the gateway\n  (--incoming proves that).\n"
	if r.Verdicts[0].Incoming {
		who, other = "broker", "- other topics, users and sizes than these; what the gateway sends to the broker\n  (without --incoming).\n"
	}
	text := fmt.Sprintf(`
acked: the %s said that it is stored. A message may come twice at QoS 1 when it
was in flight at a kill or a cut, or was not acknowledged before a kill; at QoS 2 never.

Not proven by this:
- loss of power. After kill -9 the operating system still writes what it has; for a
  loss of power there are sync: always (it is %s) and a disk that tells the truth.
- a broker that forgets what it has acknowledged: no gateway can make up for that.
`, who, setTo(r.Sync)) + other
	if slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.QoS == 0 }) {
		text += "- that QoS 0 arrives: what was handed to the operating system at a kill or a cut may be\n  missing, and that many are allowed above.\n"
	}
	return text
}

// setTo says how sync is set.
func setTo(policy string) string {
	if policy == "always" {
		return "set"
	}
	return "not set: it is " + policy
}
