// Package metrics tells Prometheus how a gateway does: what stands in the statuses
// of its connections, read at each scrape, and how long commits and deliveries take.
//
// Names begin with mqttdb_, then connection_, queue_ (labels connection and queue,
// which is outgoing or incoming) or local_ (the clients of the local broker); units
// are in the names. Counters of messages come from the stores: they survive a
// restart of the gateway and fall only when a store is made anew. Where nobody knows
// how much a store holds, because it could not be read since the start, its series are
// left out: 0 would be a lie.
//
// docs/grafana has a dashboard and examples of alert rules.
package metrics
