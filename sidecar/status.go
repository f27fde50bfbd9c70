package sidecar

import (
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Status is the payload of STATUS.
type Status struct {
	Brokers []BrokerStatus `json:"brokers"`
	Orphans []OrphanStatus `json:"orphans"`
}

// BrokerStatus describes a broker that is open.
type BrokerStatus struct {
	Broker      string     `json:"b"`
	State       string     `json:"state"`
	Since       time.Time  `json:"since"`
	URL         string     `json:"broker"` // without credentials
	NextAttempt *time.Time `json:"next_attempt"`
	Error       string     `json:"error"`
	Hint        string     `json:"hint"`
	Lingering   bool       `json:"lingering"`

	Pending      uint64     `json:"pending"`
	PendingBytes uint64     `json:"pending_bytes"`
	InFlight     uint64     `json:"in_flight"`
	Oldest       *time.Time `json:"oldest"`
	Dead         uint64     `json:"dead"` // letters that are kept
	Dropped      uint64     `json:"dropped"`
	Expired      uint64     `json:"expired"`
	Refused      uint64     `json:"refused"`
	Full         bool       `json:"full"`

	IncomingPending uint64 `json:"incoming_pending"`
	IncomingBytes   uint64 `json:"incoming_bytes"`
	IncomingDead    uint64 `json:"incoming_dead"`
	Missed          uint64 `json:"missed"` // by consumers without persist.incoming

	// Imported is what was taken over of the nodes before mqttdb since the sidecar was
	// started; nil: nothing.
	Imported *Imported `json:"imported,omitempty"`
}

// OrphanStatus describes a directory with messages that belongs to no open broker.
type OrphanStatus struct {
	Broker          string `json:"b"`
	Pending         uint64 `json:"pending"`
	PendingBytes    uint64 `json:"pending_bytes"`
	IncomingPending uint64 `json:"incoming_pending"`
	IncomingBytes   uint64 `json:"incoming_bytes"`
	Dead            uint64 `json:"dead"` // letters, of both queues
}

// status is what the client is told of the statuses of the runtime.
func (h *house) status(list []types.Status, missed func(broker string) uint64) Status {
	out := Status{Brokers: []BrokerStatus{}, Orphans: []OrphanStatus{}}
	for i := range list {
		s := &list[i]
		if s.Orphan {
			out.Orphans = append(out.Orphans, OrphanStatus{
				Broker: s.Name, Pending: s.Outgoing.Pending, PendingBytes: s.Outgoing.Bytes,
				IncomingPending: s.Incoming.Pending, IncomingBytes: s.Incoming.Bytes, Dead: s.Outgoing.DeadPending + s.Incoming.DeadPending,
			})
			continue
		}
		b := BrokerStatus{
			Broker: s.Name, State: string(s.State), Since: s.Since, URL: s.Broker, NextAttempt: s.NextAttempt, Error: s.LastError, Hint: s.Hint,
			Pending: s.Outgoing.Pending, PendingBytes: s.Outgoing.Bytes, InFlight: s.Outgoing.InFlight, Oldest: s.Outgoing.Oldest,
			Dead: s.Outgoing.DeadPending, Dropped: s.Outgoing.Dropped, Expired: s.Outgoing.Expired, Refused: s.Outgoing.Refused,
			Full:            s.Outgoing.Full != "",
			IncomingPending: s.Incoming.Pending, IncomingBytes: s.Incoming.Bytes, IncomingDead: s.Incoming.DeadPending, Missed: missed(s.Name),
		}
		for _, trouble := range []string{s.Outgoing.Trouble, s.Incoming.Trouble} {
			if b.Error == "" || s.State == types.Online {
				if trouble != "" {
					b.Error = trouble
				}
			}
		}
		b.Lingering, b.Imported = h.more(s.Name)
		out.Brokers = append(out.Brokers, b)
	}
	return out
}

// more says whether nobody has the broker any more, and what was imported.
func (h *house) more(id string) (lingering bool, old *Imported) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[id]
	if b == nil {
		return false, nil
	}
	if did := b.old; did != (Imported{}) {
		old = &did
	}
	return len(b.users) == 0, old
}

// stores says whether what the broker sends is stored.
func (h *house) stores(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.plans[id]
	return p != nil && p.connection.Persist.Incoming == config.On
}
