//go:build unix

package links_test

import (
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// At QoS 2 each message reaches a real broker exactly once and in order while the
// network is cut again and again, at whatever moment [S3.2].
func TestExactlyOnceOverCutLinks(t *testing.T) {
	const messages, cuts = 3000, 3
	b := mosquitto.Start(t, mosquitto.WithConfig("max_queued_messages 0"))
	n := newNetwork(t, b.Addr())
	s := subscribe(t, b.Addr(), "t")
	db := open(t, t.TempDir(), mqttdb.ConnectionConfig{Broker: "mqtt://" + n.addr()})
	await(t, db, "a link", is("online"))
	for list := range slices.Chunk(numbers(0, messages), 100) {
		batch := make([]mqttdb.Message, len(list))
		for i, p := range list {
			batch[i] = mqttdb.Message{Topic: "t", Payload: []byte(p), QoS: 2}
		}
		if _, err := db.Connection("cloud").PublishBatch(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range cuts {
		s.until(t, "some messages", func(got []string) bool { return len(got) >= (i+1)*messages/(cuts+2) })
		n.cut()
		await(t, db, "the end of the link", func(s mqttdb.Status) bool { return s.State != "online" })
		n.restore()
	}
	drain(t, db)
	s.reaches(t, messages)
	lost, twice := tally(messages, s.payloads())
	status := db.Connection("cloud").Status()
	t.Logf("%d messages over %d cut links: %d lost, %d twice; %.3f syncs per message", messages, cuts, lost, twice, float64(status.Outgoing.Syncs)/messages)
	if lost > 0 || twice > 0 || !slices.Equal(s.payloads(), numbers(0, messages)) {
		t.Errorf("%d lost, %d twice; in order: %v", lost, twice, slices.Equal(firsts(s.payloads()), numbers(0, messages)))
	}
	if syncs := float64(status.Outgoing.Syncs) / messages; syncs > 0.3 {
		t.Errorf("%.3f syncs per message", syncs)
	}
	if status.Outgoing.Sent != messages || status.Outgoing.Pending != 0 {
		t.Errorf("%+v", status.Outgoing)
	}
}
