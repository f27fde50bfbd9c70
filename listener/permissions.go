package listener

import (
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

// permissions say which topics a client may publish to and read. nil allows
// everything. They are never modified.
type permissions struct {
	publish, subscribe []string // topic filters
}

// mayPublish says whether a message may be published to topic.
func (p *permissions) mayPublish(topic string) bool { return p == nil || matchesAny(p.publish, topic) }

// mayRead says whether a message of topic may be given to the client.
func (p *permissions) mayRead(topic string) bool { return p == nil || matchesAny(p.subscribe, topic) }

// maySubscribe says whether one of the filters that the client may read covers
// this one. Filters that cover it only together do not count.
func (p *permissions) maySubscribe(filter string) bool {
	return p == nil || coveredByAny(p.subscribe, filter)
}

// within says whether other allows all that p allows.
func (p *permissions) within(other *permissions) bool {
	if p == nil || other == nil {
		return other == nil
	}
	covered := func(by []string) func(string) bool {
		return func(filter string) bool { return !coveredByAny(by, filter) }
	}
	return !slices.ContainsFunc(p.publish, covered(other.publish)) && !slices.ContainsFunc(p.subscribe, covered(other.subscribe))
}

func matchesAny(filters []string, topic string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return types.Matches(f, topic) })
}

func coveredByAny(filters []string, filter string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return types.Covers(f, filter) })
}
