package listener

import (
	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// A session that is kept gets what is retained for a new subscription as copies that
// are stored for it alone, among the other messages, in order.

// beginCopying is for when a SUBSCRIBE has come. What is retained now is not older
// than what came before.
func (d *durable) beginCopying() { d.copying, d.newer = true, nil }

// endCopying says whether something is still being stored for the session, and the
// number of the last of what was.
func (d *durable) endCopying(copying bool, last types.Seq) {
	d.copying, d.copied = copying, max(d.copied, last)
	if !copying && d.through >= d.copied {
		d.newer = nil
	}
}

// replace is for when what is retained for a filter was stored anew, from number
// first on: of the copies before, those that wait need not be sent. Without that a
// client that subscribes whenever it connects, and does not stay for long, would have
// more and more of them.
func (d *durable) replace(filter string, first types.Seq) {
	below, _ := d.replaced.At(filter)
	*below = first
	d.replacedTo = max(d.replacedTo, first)
	for range d.waiting.len() {
		if m := d.waiting.pop(); m.Copy && d.isReplaced(&m) {
			d.done = append(d.done, m.Seq)
		} else {
			d.waiting.push(m)
		}
	}
}

// isReplaced says whether a copy of a retained message comes again.
func (d *durable) isReplaced(m *actors.Delivery) (is bool) {
	d.replaced.FiltersOf(m.Message.Topic, func(below types.Seq) { is = is || m.Seq < below })
	return is
}
