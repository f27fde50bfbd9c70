package metrics

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mqttdb/mqttdb/types"
)

// scrape returns what is told of these statuses, a line for each series.
func scrape(t testing.TB, m *Metrics, list ...types.Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	h := m.Handler(func() []types.Status { return list }, slog.New(slog.DiscardHandler))
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// full is a gateway that has something of everything.
func full() []types.Status {
	at := time.UnixMilli(1_700_000_000_500)
	out := types.QueueStatus{
		Pending: 5, Bytes: 1210, InFlight: 2, Oldest: &at, Accepted: 131, Sent: 100, Dropped: 7, Expired: 3, Cleared: 4, Dead: 6, Quarantined: 6,
		Refused: 9, RefusedBy: map[string]uint64{"too_large": 8, "novel": 1}, DeadPending: 5, Kept: 50,
		DroppedBy: map[string]uint64{"drop_oldest": 7}, BytesWritten: 9000, PayloadBytes: 8000, Syncs: 11, DiskBytes: 4096, ReclaimedBytes: 77,
		LastCompaction: &at, DuplicatesPossible: true, DowntimeUnknown: true, Full: "max_messages", Trouble: "broken",
	}
	in := types.EmptyQueueStatus()
	in.Accepted, in.Sent = 1, 1
	none := types.EmptyQueueStatus()
	left := types.EmptyQueueStatus()
	left.Accepted, left.Pending = 3, 3
	return []types.Status{
		{Name: "cloud", Broker: "mqtts://user:secret@broker.example.com:8883", State: types.Backoff, Since: at, LastError: "secret", Outgoing: out, Incoming: in},
		{Name: "site", State: types.Online, Since: at, Outgoing: none, Incoming: none},
		{Name: "_local", State: types.Online, Since: at, Outgoing: none, Incoming: none, Clients: &types.ClientsStatus{
			Connected: 3, Received: 10, Delivered: 20, Dropped: 1, Refused: map[string]uint64{"invalid": 2}, TurnedAway: 4,
		}},
		{Name: "old", Orphan: true, Outgoing: left, Incoming: none},
		{Name: "site", Orphan: true, Outgoing: none, Incoming: left}, // it has stopped storing what comes in
	}
}

func TestScrape(t *testing.T) {
	m := New("v1.2.3")
	l := m.Latencies("cloud", types.Outgoing)
	l.Committed(3 * time.Millisecond)
	l.Delivered(2 * time.Hour)
	got := scrape(t, m, full()...)
	for _, line := range []string{
		`mqttdb_build_info{goversion="`,
		`mqttdb_connection_state{connection="cloud",state="backoff"} 1`,
		`mqttdb_connection_state{connection="cloud",state="online"} 0`,
		`mqttdb_connection_state_timestamp_seconds{connection="cloud"} 1.7000000005e+09`,
		`mqttdb_connection_orphan{connection="cloud"} 0`,
		`mqttdb_connection_orphan{connection="old"} 1`,
		`mqttdb_connection_orphan{connection="site"} 1`,
		`mqttdb_queue_pending_messages{connection="cloud",queue="outgoing"} 5`,
		`mqttdb_queue_pending_bytes{connection="cloud",queue="outgoing"} 1210`,
		`mqttdb_queue_in_flight_messages{connection="cloud",queue="outgoing"} 2`,
		`mqttdb_queue_oldest_message_timestamp_seconds{connection="cloud",queue="outgoing"} 1.7000000005e+09`,
		`mqttdb_queue_last_compaction_timestamp_seconds{connection="cloud",queue="outgoing"} 1.7000000005e+09`,
		`mqttdb_queue_accepted_messages_total{connection="cloud",queue="outgoing"} 131`,
		`mqttdb_queue_accepted_messages_total{connection="cloud",queue="incoming"} 1`,
		`mqttdb_queue_sent_messages_total{connection="cloud",queue="outgoing"} 100`,
		`mqttdb_queue_expired_messages_total{connection="cloud",queue="outgoing"} 3`,
		`mqttdb_queue_cleared_messages_total{connection="cloud",queue="outgoing"} 4`,
		`mqttdb_queue_dead_lettered_messages_total{connection="cloud",queue="outgoing"} 6`,
		`mqttdb_queue_quarantined_messages_total{connection="cloud",queue="outgoing"} 6`,
		`mqttdb_queue_dropped_messages_total{connection="cloud",queue="outgoing",reason="drop_oldest"} 7`,
		`mqttdb_queue_dropped_messages_total{connection="cloud",queue="outgoing",reason="unclaimed"} 0`,
		`mqttdb_queue_refused_messages_total{connection="cloud",queue="outgoing",reason="too_large"} 8`,
		`mqttdb_queue_refused_messages_total{connection="cloud",queue="outgoing",reason="novel"} 1`,
		`mqttdb_queue_dead_letters{connection="cloud",queue="outgoing"} 5`,
		`mqttdb_queue_kept_messages{connection="cloud",queue="outgoing"} 50`,
		`mqttdb_queue_written_bytes_total{connection="cloud",queue="outgoing"} 9000`,
		`mqttdb_queue_payload_bytes_total{connection="cloud",queue="outgoing"} 8000`,
		`mqttdb_queue_syncs_total{connection="cloud",queue="outgoing"} 11`,
		`mqttdb_queue_disk_bytes{connection="cloud",queue="outgoing"} 4096`,
		`mqttdb_queue_reclaimed_bytes_total{connection="cloud",queue="outgoing"} 77`,
		`mqttdb_queue_full{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_trouble{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_unread{connection="cloud",queue="outgoing"} 0`,
		`mqttdb_queue_duplicates_possible{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_downtime_unknown{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_commit_duration_seconds_bucket{connection="cloud",queue="outgoing",le="0.005"} 1`,
		`mqttdb_queue_commit_duration_seconds_bucket{connection="cloud",queue="outgoing",le="0.002"} 0`,
		`mqttdb_queue_commit_duration_seconds_count{connection="site",queue="outgoing"} 0`,
		`mqttdb_queue_delivery_duration_seconds_bucket{connection="cloud",queue="outgoing",le="3600"} 0`,
		`mqttdb_queue_delivery_duration_seconds_bucket{connection="cloud",queue="outgoing",le="21600"} 1`,
		`mqttdb_queue_pending_messages{connection="old",queue="outgoing"} 3`,
		`mqttdb_queue_pending_messages{connection="site",queue="incoming"} 3`,
		`mqttdb_local_clients 3`,
		`mqttdb_local_received_messages_total 10`,
		`mqttdb_local_delivered_messages_total 20`,
		`mqttdb_local_dropped_messages_total 1`,
		`mqttdb_local_refused_messages_total{reason="invalid"} 2`,
		`mqttdb_local_turned_away_connections_total 4`,
		`go_goroutines `,
		`process_start_time_seconds `,
	} {
		if !strings.Contains(got, "\n"+line) {
			t.Errorf("%s is missing", line)
		}
	}
	if strings.Contains(got, "secret") {
		t.Error("a secret is told")
	}
}

// What nobody knows is not told: after a start on a broken disk counters would seem
// to fall to 0, and to rise by all they had when it can be read again.
func TestUnreadIsLeftOut(t *testing.T) {
	s := types.Status{Name: "cloud", Outgoing: types.EmptyQueueStatus(), Incoming: types.EmptyQueueStatus()}
	s.Outgoing.Unread = true
	got := scrape(t, New("v1"), s)
	if !strings.Contains(got, `mqttdb_queue_unread{connection="cloud",queue="outgoing"} 1`) {
		t.Error("it is not told that the queue is not read")
	}
	for _, name := range []string{"pending_messages", "accepted_messages_total", "dropped_messages_total"} {
		if strings.Contains(got, "\nmqttdb_queue_"+name+"{") {
			t.Errorf("%s is told", name)
		}
	}
}

// Names, units, types and texts are as Prometheus wants them.
func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, New("v1"), full()...))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// namesIn lists the metrics in an answer.
func namesIn(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
		if m[2] == "histogram" {
			names = append(names, m[1]+"_bucket", m[1]+"_sum", m[1]+"_count")
		}
	}
	return names
}

var metricName = regexp.MustCompile(`\b((mqttdb|go|process)_[a-z0-9_]+|up)\b`)

// What the dashboard and the rules ask for is there, and what there is of queues can
// be seen on the dashboard.
func TestDashboardAndRules(t *testing.T) {
	exist := append(namesIn(scrape(t, New("v1"), full()...)), "up") // which Prometheus adds
	check := func(where, expr string) {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for nothing: %s", where, expr)
		}
		for _, name := range names {
			if !slices.Contains(exist, name) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	text, err := os.ReadFile("../../docs/grafana/mqttdb.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title, Type string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			check(fmt.Sprintf("panel %q", p.Title), target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		if v.Type == "query" {
			check("variable "+v.Name, v.Definition)
		}
	}
	for _, name := range exist {
		if strings.HasPrefix(name, "mqttdb_") && !strings.Contains(string(text), name+"{") && !slices.Contains(exist, name+"_bucket") && !strings.HasSuffix(name, "_seconds_sum") && !strings.HasSuffix(name, "_seconds_count") {
			t.Errorf("%s is not on the dashboard", name)
		}
	}
	rules, err := os.ReadFile("../../docs/grafana/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	exprs := regexp.MustCompile(`(?m)^ *expr: (.*)$`).FindAllStringSubmatch(string(rules), -1)
	if len(exprs) != strings.Count(string(rules), "- alert: ") || len(exprs) == 0 {
		t.Errorf("%d expressions for %d alerts", len(exprs), strings.Count(string(rules), "- alert: "))
	}
	for _, e := range exprs {
		check("rule", e[1])
	}
}

// BenchmarkObserve is what a latency costs where it is measured.
func BenchmarkObserve(b *testing.B) {
	l := New("v1").Latencies("cloud", types.Outgoing)
	for b.Loop() {
		l.Delivered(time.Millisecond)
	}
}

// BenchmarkScrape is an answer for 200 connections.
func BenchmarkScrape(b *testing.B) {
	one := full()[0]
	var list []types.Status
	for i := range 200 {
		one.Name = fmt.Sprintf("c%d", i)
		list = append(list, one)
	}
	m := New("v1")
	h := m.Handler(func() []types.Status { return list }, slog.New(slog.DiscardHandler))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
