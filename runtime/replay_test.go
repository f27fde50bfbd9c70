package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// A broker that forgot gets again what it had: also in the next process, and from a
// queue in memory.
func TestReplay(t *testing.T) {
	for _, durable := range []bool{true, false} {
		t.Run(fmt.Sprint("durable ", durable), func(t *testing.T) {
			h := newHouse()
			cfg := config.Connection{Name: "cloud", KeepSent: time.Hour}
			if !durable {
				cfg.Persist.Outgoing = config.Off
			}
			rt := h.open(t, cfg)
			conn := rt.Connection("cloud")
			publish := func(from, to int) {
				t.Helper()
				for i := from; i < to; i++ {
					if _, err := conn.Publish(t.Context(), message([]string{"a", "b"}[i%2], fmt.Sprint(i))); err != nil {
						t.Fatal(err)
					}
				}
				if err := conn.Drain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			publish(0, 6)
			if durable {
				closeRuntime(t, rt)
				rt = h.open(t, cfg)
				conn = rt.Connection("cloud")
			}
			publish(6, 8)
			stored, err := conn.Messages(t.Context(), types.SentMessages, 0, 100)
			if err != nil || len(stored) != 8 || string(stored[7].Message.Payload) != "7" {
				t.Errorf("%v are kept, %v", stored, err)
			}
			if n := conn.Status().Outgoing.Kept; n != 8 {
				t.Errorf("the status says that %d are kept", n)
			}
			if did, err := conn.Replay(t.Context(), types.Replay{DryRun: true, Filter: "a"}); did != (types.Replayed{Count: 4}) || err != nil {
				t.Errorf("it would be %+v, %v", did, err)
			}
			did, err := conn.Replay(t.Context(), types.Replay{Since: 20 * time.Minute, Filter: "a"})
			if did != (types.Replayed{Count: 4}) || err != nil {
				t.Errorf("%+v, %v", did, err)
			}
			if err := conn.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range h.broker.Published() {
				got = append(got, string(m.Payload))
			}
			if want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "0", "2", "4", "6"}; !slices.Equal(got, want) {
				t.Errorf("%q arrived, want %q", got, want)
			}
			stored, err = conn.Messages(t.Context(), types.SentMessages, 8, 100)
			if err != nil || len(stored) != 4 || stored[0].Original.IsZero() || stored[0].Original.After(stored[0].Accepted) {
				t.Errorf("replays are kept as %v, %v", stored, err)
			}
			if n, err := conn.Clear(t.Context(), types.Selection{Queue: types.SentMessages, Filter: "b"}); n != 4 || err != nil {
				t.Errorf("cleared %d, %v", n, err)
			}
			if err := conn.Remove(t.Context(), types.SentMessages, 9); err != nil {
				t.Error(err)
			}
			cfg.KeepSent = 0
			without := config.Config{Connections: named([]config.Connection{cfg})}
			if err := without.SetDefaultsAndValidate(); err != nil {
				t.Fatal(err)
			}
			if _, err := rt.Reload(t.Context(), without); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Replay(t.Context(), types.Replay{}); !errors.Is(err, types.ErrNotKept) {
				t.Errorf("a replay of nothing: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for range rt.Watch(ctx) {
				if conn.Status().Outgoing.Kept == 0 {
					return
				}
			}
			t.Errorf("%d are kept though nobody asks for it", conn.Status().Outgoing.Kept)
		})
	}
}
