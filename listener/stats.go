package listener

import "sync/atomic"

// Stats counts since the start of the server.
type Stats struct {
	Clients   int    // connected now, after CONNACK
	Connected uint64 // CONNECTs that were accepted
	Away      uint64 // connections that were not let in, but for those that said nothing
	Received  uint64 // PUBLISH packets from clients
	Acked     uint64 // PUBACK and PUBREC written
	Delivered uint64 // messages written to subscribers
	Dropped   uint64 // messages that a subscriber did not get: it reads too slowly, or takes no packet so large

	// Refused counts messages that were not stored: too_large, not_allowed,
	// invalid, full, not_stored.
	Refused map[string]uint64

	Retained      int // messages kept
	Subscriptions int

	// Of all kinds of MQTT packets, from and to clients that are let in.
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64
}

type stats struct {
	connected, away, received, acked, delivered, dropped atomic.Uint64
	packetsIn, packetsOut, bytesIn, bytesOut             atomic.Uint64
	refused                                              [refusedReasons]atomic.Uint64
}

func (s *stats) refuse(by refusedBy) { s.refused[by].Add(1) }

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	r := Stats{
		Clients: s.clients(), Connected: c.connected.Load(), Away: c.away.Load(), Received: c.received.Load(), Acked: c.acked.Load(),
		Delivered: c.delivered.Load(), Dropped: c.dropped.Load(), Refused: map[string]uint64{}, Retained: s.topics.kept(),
		Subscriptions: int(s.topics.count.Load()),
		PacketsIn:     c.packetsIn.Load(), PacketsOut: c.packetsOut.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
	}
	for by := refusedBy(1); by < refusedReasons; by++ {
		r.Refused[by.String()] = c.refused[by].Load()
	}
	return r
}
