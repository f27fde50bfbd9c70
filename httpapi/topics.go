package httpapi

import (
	"maps"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// topicInterval is how often the status of a connection is published at most.
const topicInterval = time.Second

// topics publishes the statuses of connections as retained messages. It belongs to
// one goroutine.
type topics struct {
	report func(topic string, payload []byte) // nil: nobody gets them
	last   map[string]time.Time               // when each was published
	wait   map[string]types.Status            // what is to be
	due    <-chan time.Time                   // nil: nothing is late
}

func newTopics(report func(string, []byte)) *topics {
	return &topics{report: report, last: map[string]time.Time{}, wait: map[string]types.Status{}}
}

// StatusTopic is where the status of a connection is published.
func StatusTopic(connection string) string { return "$mqttdb/" + connection + "/status" }

// changed notes what is to be published, and takes back what is gone.
func (t *topics) changed(changed []types.Status, gone []string) {
	if t.report == nil {
		return
	}
	for _, s := range changed {
		if s.Name != runtime.LocalName && !s.Orphan {
			t.wait[s.Name] = s
			continue
		}
		gone = append(gone, s.Name) // it may have been a connection
	}
	for _, name := range gone {
		delete(t.wait, name)
		if _, ok := t.last[name]; ok {
			delete(t.last, name)
			t.report(StatusTopic(name), nil)
		}
	}
}

// publish publishes what may be at that time; due says when to call it again.
func (t *topics) publish(at time.Time) {
	if len(t.wait) == 0 {
		t.due = nil
		return
	}
	next := topicInterval
	for _, name := range slices.Sorted(maps.Keys(t.wait)) {
		if wait := topicInterval - at.Sub(t.last[name]); wait > 0 {
			next = min(next, wait)
			continue
		}
		t.report(StatusTopic(name), encode(t.wait[name]))
		t.last[name] = at
		delete(t.wait, name)
	}
	t.due = nil
	if len(t.wait) > 0 {
		t.due = time.After(next)
	}
}
