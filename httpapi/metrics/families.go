package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mqttdb/mqttdb/types"
)

// gauge and counter are families of which each queue has one.
type (
	gauge struct {
		desc  *prometheus.Desc
		value func(*types.QueueStatus) float64
	}
	counter struct {
		desc  *prometheus.Desc
		value func(*types.QueueStatus) uint64
	}
	reasons struct {
		desc  *prometheus.Desc
		known []string // there from the beginning, with 0
		value func(*types.QueueStatus) map[string]uint64
	}
)

// families are all that is told but for the latencies.
type families struct {
	// What a store holds, which is not known while Unread.
	storedGauges   []gauge
	storedCounters []counter
	dropped        reasons

	// What is known whatever the store does; its counters count from the start of the
	// process.
	gauges   []gauge
	counters []counter
	refused  reasons

	oldest, lastCompaction *prometheus.Desc // of queues; not always there

	state, since, orphan *prometheus.Desc // of connections

	clients, received, delivered, clientDropped, clientRefused, turnedAway *prometheus.Desc // of the local broker
}

// describe calls each with all of them.
func (f *families) describe(each func(*prometheus.Desc)) {
	for _, list := range [][]gauge{f.storedGauges, f.gauges} {
		for _, g := range list {
			each(g.desc)
		}
	}
	for _, list := range [][]counter{f.storedCounters, f.counters} {
		for _, c := range list {
			each(c.desc)
		}
	}
	for _, d := range []*prometheus.Desc{
		f.dropped.desc, f.refused.desc, f.oldest, f.lastCompaction, f.state, f.since, f.orphan,
		f.clients, f.received, f.delivered, f.clientDropped, f.clientRefused, f.turnedAway,
	} {
		each(d)
	}
}

// queueLabels are those of what each queue has.
func queueLabels(more ...string) []string { return append([]string{"connection", "queue"}, more...) }

func queueDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("mqttdb_queue_"+name, help, queueLabels(more...), nil)
}

func connectionDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("mqttdb_connection_"+name, help, append([]string{"connection"}, more...), nil)
}

func localDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mqttdb_local_"+name, help, labels, nil)
}

func newFamilies() *families {
	f := &families{}
	f.ofStores()
	f.ofQueues()
	f.ofConnections()
	f.ofClients()
	return f
}

func (f *families) ofStores() {
	f.storedGauges = []gauge{
		{queueDesc("pending_messages", "Messages that are stored and not acknowledged by the other side."),
			func(s *types.QueueStatus) float64 { return float64(s.Pending) }},
		{queueDesc("pending_bytes", "Stored bytes of the pending messages."),
			func(s *types.QueueStatus) float64 { return float64(s.Bytes) }},
		{queueDesc("dead_letters", "Messages that were set aside and can be sent again."),
			func(s *types.QueueStatus) float64 { return float64(s.DeadPending) }},
		{queueDesc("kept_messages", "Messages that were sent and can be replayed (keep_sent)."),
			func(s *types.QueueStatus) float64 { return float64(s.Kept) }},
		{queueDesc("duplicates_possible", "1 if damage may have hit the newest record, so that messages may arrive twice."),
			func(s *types.QueueStatus) float64 { return truth(s.DuplicatesPossible) }},
		{queueDesc("downtime_unknown", "1 if the time before the last start does not count for ages, since the clock had been set back."),
			func(s *types.QueueStatus) float64 { return truth(s.DowntimeUnknown) }},
	}
	f.storedCounters = []counter{
		{queueDesc("accepted_messages_total", "Messages that were given a number."),
			func(s *types.QueueStatus) uint64 { return s.Accepted }},
		{queueDesc("sent_messages_total", "Messages that the other side has acknowledged."),
			func(s *types.QueueStatus) uint64 { return s.Sent }},
		{queueDesc("expired_messages_total", "Messages that became older than they may be."),
			func(s *types.QueueStatus) uint64 { return s.Expired }},
		{queueDesc("cleared_messages_total", "Messages that an operator has cleared."),
			func(s *types.QueueStatus) uint64 { return s.Cleared }},
		{queueDesc("dead_lettered_messages_total", "Messages that were set aside as dead letters."),
			func(s *types.QueueStatus) uint64 { return s.Dead }},
		{queueDesc("quarantined_messages_total", "Accepted messages that were found missing or unreadable."),
			func(s *types.QueueStatus) uint64 { return s.Quarantined }},
		{queueDesc("reclaimed_bytes_total", "Disk space that compaction has given back."),
			func(s *types.QueueStatus) uint64 { return s.ReclaimedBytes }},
	}
	f.dropped = reasons{queueDesc("dropped_messages_total", "Messages that were dropped at a limit (drop_oldest, drop_newest), or that nobody wanted any more (unclaimed).", "reason"),
		[]string{"drop_oldest", "drop_newest", "unclaimed"},
		func(s *types.QueueStatus) map[string]uint64 { return s.DroppedBy }}
	f.oldest = queueDesc("oldest_message_timestamp_seconds", "When the oldest pending message was accepted, in seconds since 1970; there is none while nothing is pending.")
	f.lastCompaction = queueDesc("last_compaction_timestamp_seconds", "When compaction last came to an end, in seconds since 1970; there is none before the first.")
}

func (f *families) ofQueues() {
	f.gauges = []gauge{
		{queueDesc("in_flight_messages", "Messages that were sent and whose acknowledgement is awaited."),
			func(s *types.QueueStatus) float64 { return float64(s.InFlight) }},
		{queueDesc("disk_bytes", "Disk space that the queue takes."),
			func(s *types.QueueStatus) float64 { return float64(s.DiskBytes) }},
		{queueDesc("full", "1 while a limit keeps the queue from taking more."),
			func(s *types.QueueStatus) float64 { return truth(s.Full != "") }},
		{queueDesc("trouble", "1 while the queue cannot store."),
			func(s *types.QueueStatus) float64 { return truth(s.Trouble != "") }},
		{queueDesc("unread", "1 if what is stored could not be read since the start: how much is pending is not known."),
			func(s *types.QueueStatus) float64 { return truth(s.Unread) }},
	}
	f.counters = []counter{
		{queueDesc("written_bytes_total", "Bytes that were handed to the file system."),
			func(s *types.QueueStatus) uint64 { return s.BytesWritten }},
		{queueDesc("payload_bytes_total", "Payload bytes of the messages that were stored."),
			func(s *types.QueueStatus) uint64 { return s.PayloadBytes }},
		{queueDesc("syncs_total", "How often messages were synced."),
			func(s *types.QueueStatus) uint64 { return s.Syncs }},
	}
	f.refused = reasons{queueDesc("refused_messages_total", "Messages that were never accepted, by reason.", "reason"),
		[]string{"full", "disk_full", "too_large", "invalid"},
		func(s *types.QueueStatus) map[string]uint64 { return s.RefusedBy }}
}

func (f *families) ofConnections() {
	f.state = connectionDesc("state", "1 for the state that the connection is in, 0 for the others.", "state")
	f.since = connectionDesc("state_timestamp_seconds", "Since when the connection is in its state, in seconds since 1970.")
	f.orphan = connectionDesc("orphan", "1 for queues with messages whose connection is in no configuration.")
}

func (f *families) ofClients() {
	f.clients = localDesc("clients", "Clients that are connected to the local broker.")
	f.received = localDesc("received_messages_total", "Messages from local clients.")
	f.delivered = localDesc("delivered_messages_total", "Messages to local clients.")
	f.clientDropped = localDesc("dropped_messages_total", "Messages that a local client did not get, for it reads too slowly or takes none so large.")
	f.clientRefused = localDesc("refused_messages_total", "Messages from local clients that were not taken, by reason.", "reason")
	f.turnedAway = localDesc("turned_away_connections_total", "Connections of local clients that were not let in.")
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
