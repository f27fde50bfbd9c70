//go:build !js

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// A quiet gateway has a line for each connection that 80 columns hold, and nothing
// below.
func TestQuietStatus(t *testing.T) {
	oldest := time.Now().Add(-26*time.Hour - time.Second)
	quiet := types.Status{Name: "cloud", State: types.Online, Broker: "mqtts://broker.example.com:8883",
		Outgoing: types.EmptyQueueStatus(), Incoming: types.EmptyQueueStatus()}
	quiet.Outgoing.Pending, quiet.Outgoing.Bytes, quiet.Outgoing.InFlight = 1234567, 350<<20, 100
	quiet.Outgoing.Sent, quiet.Outgoing.Oldest = 98765432, &oldest
	local := types.Status{Name: "_local", State: types.Online, Outgoing: types.EmptyQueueStatus(), Incoming: types.EmptyQueueStatus(), Clients: &types.ClientsStatus{}}
	tests := []struct {
		name    string
		columns int
		want    string
	}{
		{"elsewhere than on a terminal", 0, `CONNECTION  STATE   PENDING  BYTES      IN FLIGHT  SENT      OLDEST  BROKER
cloud       online  1234567  350.0 MiB  100        98765432  1d2h    mqtts://broker.example.com:8883
_local      online  0        0 B        0          0         -
`},
		{"on a terminal", 80, `CONNECTION  STATE   PENDING  BYTES      IN FLIGHT  SENT      OLDEST  BROKER
cloud       online  1234567  350.0 MiB  100        98765432  1d2h    mqtts://br…
_local      online  0        0 B        0          0         -
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			if err := printStatuses(&got, []types.Status{quiet, local}, tt.columns); err != nil {
				t.Fatal(err)
			}
			if got.String() != tt.want {
				t.Errorf("got\n%swant\n%s", got.String(), tt.want)
			}
		})
	}
}

// Each thing that an operator should know has a line, and those that want somebody
// to do something are marked and come first.
func TestRemarks(t *testing.T) {
	tests := []struct {
		name   string
		status func(*types.Status)
		want   []string // of the connection cloud
	}{
		{"quiet", func(*types.Status) {}, nil},
		{"no broker", func(s *types.Status) { s.LastError, s.Hint = "connection refused", "is it running?" },
			[]string{"! connection refused (is it running?)"}},
		{"full", func(s *types.Status) { s.Outgoing.Full = "queue full (max_messages 10)" },
			[]string{"! queue full (max_messages 10); whoever publishes waits, and nothing is lost by that"}},
		{"incoming is full", func(s *types.Status) { s.Incoming.Full = "queue full (max_bytes 10)" },
			[]string{"! incoming: queue full (max_bytes 10); the broker waits, and nothing is lost by that"}},
		{"trouble", func(s *types.Status) { s.Outgoing.Trouble = "write to cloud/outgoing: disk full (free space)" },
			[]string{"! cannot store: write to cloud/outgoing: disk full (free space)"}},
		{"unread", func(s *types.Status) { s.Outgoing.Unread = true },
			[]string{"! what is stored could not be read since the start: nobody knows how much is pending"}},
		{"far from a limit", func(s *types.Status) {
			s.Outgoing.Pending, s.Outgoing.Limits = 79, &types.LimitsStatus{MaxMessages: 100, Overflow: "reject"}
		}, nil},
		{"near limits", func(s *types.Status) {
			s.Outgoing.Pending, s.Outgoing.Limits = 80, &types.LimitsStatus{MaxMessages: 100, Overflow: "drop_oldest"}
			s.Incoming.Bytes, s.Incoming.Limits = 900<<10, &types.LimitsStatus{MaxBytes: 1 << 20, Overflow: "reject"}
		}, []string{"  80 of 100 messages (max_messages, overflow: drop_oldest)", "  incoming: 900.0 KiB of 1.0 MiB (max_bytes, overflow: reject)"}},
		{"at a limit and full", func(s *types.Status) {
			s.Outgoing.Pending, s.Outgoing.Limits = 100, &types.LimitsStatus{MaxMessages: 100, Overflow: "reject"}
			s.Outgoing.Full = "queue full (max_messages 100)"
		}, []string{"! queue full (max_messages 100); whoever publishes waits, and nothing is lost by that"}},
		{"what left", func(s *types.Status) {
			s.Outgoing.Accepted, s.Outgoing.Dropped, s.Outgoing.Expired, s.Outgoing.Cleared = 1000, 120, 7, 3
			s.Outgoing.DroppedBy = map[string]uint64{"drop_oldest": 100, "drop_newest": 20, "unclaimed": 0}
		}, []string{"  of 1000 accepted, not sent: 20 dropped (drop_newest), 100 dropped (drop_oldest), 7 expired, 3 cleared"}},
		{"incoming: what left", func(s *types.Status) {
			s.Incoming.Accepted, s.Incoming.Dropped, s.Incoming.DroppedBy = 9, 2, map[string]uint64{"unclaimed": 2}
		}, []string{"  incoming: of 9 accepted, not sent: 2 dropped (unclaimed)"}},
		{"refused", func(s *types.Status) {
			s.Outgoing.Refused, s.Outgoing.RefusedBy = 3, map[string]uint64{"full": 1, "disk_full": 2}
		}, []string{"  3 messages refused since the start: 2 disk_full, 1 full"}},
		{"a dead letter", func(s *types.Status) { s.Outgoing.DeadPending = 1 },
			[]string{"! 1 dead letter: mqttdb messages cloud --queue dead shows why"}},
		{"kept, before that what is urgent", func(s *types.Status) {
			s.Outgoing.Kept, s.Incoming.DeadPending = 5, 2
		}, []string{"! incoming: 2 dead letters: mqttdb messages cloud --queue incoming_dead shows why",
			"  5 messages that were sent are kept: mqttdb replay cloud sends them again"}},
		{"damage", func(s *types.Status) {
			s.Outgoing.Quarantined, s.Outgoing.DuplicatesPossible = 4, true
		}, []string{"  4 quarantined: found missing or unreadable; mqttdb verify cloud reads everything and says where",
			"  after damage to the store some messages may be delivered twice"}},
		{"the clock", func(s *types.Status) { s.Outgoing.DowntimeUnknown = true },
			[]string{"  the clock was set back, or the gateway was off for more than 30 days: that time does not count for max_age and ttl"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := types.Status{Name: "cloud", State: types.Online, Outgoing: types.EmptyQueueStatus(), Incoming: types.EmptyQueueStatus()}
			tt.status(&s)
			want := ""
			for _, line := range tt.want {
				want += line[:1] + " cloud: " + line[2:] + "\n"
			}
			var got strings.Builder
			if err := printStatuses(&got, []types.Status{s}, 80); err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfterN(got.String(), "\n", 3) // heading, the connection, remarks
			if lines[2] != want {
				t.Errorf("got\n%swant\n%s", lines[2], want)
			}
		})
	}
}

func TestStateOf(t *testing.T) {
	tests := []struct {
		name   string
		status types.Status
		want   string
	}{
		{"online", types.Status{State: types.Online}, "online"},
		{"an orphan", types.Status{State: types.Offline, Orphan: true}, "orphan"},
		{"full", types.Status{State: types.Backoff, Outgoing: types.QueueStatus{Full: "x"}}, "backoff, full"},
		{"trouble goes first", types.Status{State: types.Online, Outgoing: types.QueueStatus{Full: "x"}, Incoming: types.QueueStatus{Trouble: "y"}}, "online, trouble"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := stateOf(tt.status); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 3 << 30: "3.0 GiB", 5 << 40: "5.0 TiB", 5 << 50: "5120.0 TiB"} {
		if got := inUnits(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", 1500 * time.Millisecond: "1s", 5*time.Minute + 7*time.Second: "5m7s", 192 * time.Minute: "3h12m", 52 * time.Hour: "2d4h"} {
		if got := briefly(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
