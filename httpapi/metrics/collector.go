package metrics

import (
	"reflect"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mqttdb/mqttdb/types"
)

// collector reads the statuses at each scrape.
type collector struct {
	metrics *Metrics
	status  func() []types.Status
}

var _ prometheus.Collector = collector{}

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	c.metrics.committed.Describe(out)
	c.metrics.delivered.Describe(out)
	c.metrics.families.describe(func(d *prometheus.Desc) { out <- d })
}

// Collect implements prometheus.Collector. What is left of a queue that its
// connection does not use any more is an orphan of the same name: nothing may be told
// twice.
func (c collector) Collect(out chan<- prometheus.Metric) {
	all := c.status()
	orphans, told := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		orphans[s.Name] = orphans[s.Name] || s.Orphan
	}
	for name, orphan := range orphans {
		output{out, []string{name}}.gauge(c.metrics.orphan, truth(orphan))
	}
	for _, s := range all {
		if s.Clients != nil {
			c.clients(output{out: out}, s.Clients)
		}
		if !s.Orphan && s.Clients == nil { // those have no link
			c.link(output{out, []string{s.Name}}, &s)
		}
		for _, q := range []struct {
			name   types.QueueName
			status *types.QueueStatus
			always bool
		}{{types.Outgoing, &s.Outgoing, !s.Orphan}, {types.Incoming, &s.Incoming, false}} {
			key := s.Name + "/" + string(q.name)
			if told[key] || !q.always && reflect.DeepEqual(*q.status, types.EmptyQueueStatus()) {
				continue
			}
			told[key] = true
			c.queue(out, &s, q.name, q.status)
		}
	}
}

// queue tells of a queue of s.
func (c collector) queue(out chan<- prometheus.Metric, s *types.Status, name types.QueueName, q *types.QueueStatus) {
	o := output{out, []string{s.Name, string(name)}}
	for _, g := range c.metrics.gauges {
		o.gauge(g.desc, g.value(q))
	}
	for _, n := range c.metrics.counters {
		o.counter(n.desc, n.value(q))
	}
	o.reasons(c.metrics.refused, q)
	if !s.Orphan {
		o.histogram(c.metrics.committed)
		if name == types.Outgoing && s.Clients == nil {
			o.histogram(c.metrics.delivered)
		}
	}
	if q.Unread {
		return
	}
	for _, g := range c.metrics.storedGauges {
		o.gauge(g.desc, g.value(q))
	}
	for _, n := range c.metrics.storedCounters {
		o.counter(n.desc, n.value(q))
	}
	o.reasons(c.metrics.dropped, q)
	if q.Oldest != nil {
		o.gauge(c.metrics.oldest, seconds(*q.Oldest))
	}
	if q.LastCompaction != nil {
		o.gauge(c.metrics.lastCompaction, seconds(*q.LastCompaction))
	}
}

// output is where the metrics of one thing go, with its labels.
type output struct {
	out    chan<- prometheus.Metric
	labels []string
}

func (o output) with(label string) output {
	return output{o.out, append(o.labels[:len(o.labels):len(o.labels)], label)}
}

func (o output) gauge(d *prometheus.Desc, v float64) {
	o.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, o.labels...)
}

func (o output) counter(d *prometheus.Desc, n uint64) {
	o.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), o.labels...)
}

func (o output) histogram(of *prometheus.HistogramVec) {
	o.out <- of.WithLabelValues(o.labels...).(prometheus.Histogram)
}

func (o output) reasons(r reasons, q *types.QueueStatus) {
	o.byReason(r.desc, r.known, r.value(q))
}

func (o output) byReason(d *prometheus.Desc, known []string, by map[string]uint64) {
	for _, reason := range known {
		o.with(reason).counter(d, by[reason])
	}
	for reason, n := range by {
		if !slices.Contains(known, reason) {
			o.with(reason).counter(d, n)
		}
	}
}

func (c collector) link(o output, s *types.Status) {
	for _, state := range []types.State{types.Offline, types.Connecting, types.Online, types.Stalled, types.Backoff, types.Paused, types.Refused} {
		o.with(string(state)).gauge(c.metrics.state, truth(s.State == state))
	}
	if !s.Since.IsZero() {
		o.gauge(c.metrics.since, seconds(s.Since))
	}
}

func (c collector) clients(o output, s *types.ClientsStatus) {
	o.gauge(c.metrics.clients, float64(s.Connected))
	o.counter(c.metrics.received, s.Received)
	o.counter(c.metrics.families.delivered, s.Delivered)
	o.counter(c.metrics.clientDropped, s.Dropped)
	o.counter(c.metrics.turnedAway, s.TurnedAway)
	o.byReason(c.metrics.clientRefused, []string{"too_large", "not_allowed", "invalid", "full", "not_stored"}, s.Refused)
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
