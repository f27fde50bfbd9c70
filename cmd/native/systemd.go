//go:build !js

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// systemd is the service manager, which gets to know how the gateway does if it
// has started it and wants to know (sd_notify(3)).
type systemd struct{ log *slog.Logger }

func (s systemd) tell(state ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(state, "\n")); err != nil {
		s.log.Warn("systemd cannot be told how the gateway does", "error", err)
	}
}

func (s systemd) ready(status string) { s.tell(daemon.SdNotifyReady, statusLine(status)) }
func (s systemd) stopping()           { s.tell(daemon.SdNotifyStopping, statusLine("stopping")) }
func (s systemd) status(text string)  { s.tell(statusLine(text)) }

// reloading is followed by ready, whatever came of it. The time keeps systemd
// from taking an earlier ready for that one.
func (s systemd) reloading() {
	s.tell(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), statusLine("reading the configuration again"))
}

// statusLine is a status of one line.
func statusLine(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", "; ") }

// watch tells systemd in time that the gateway is alive, if it wants to know,
// until ctx ends. alive is asked each time, and has to answer in time: one that
// hangs must not be called alive.
func (s systemd) watch(ctx context.Context, alive func(context.Context) error) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the settings of systemd's watchdog cannot be read", "error", err)
	}
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, every/3)
		err := alive(asked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("the gateway hangs, systemd's watchdog is not told that it is alive", "error", err)
		default:
			s.tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// statusInterval is how often systemd is told a new status at most.
const statusInterval = time.Second

// follow tells systemd the state of the connections as it changes, until ctx ends.
func (s systemd) follow(ctx context.Context, changes <-chan []types.Status) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	said := ""
	for statuses := range changes {
		if text := summary(statuses); text != said {
			said = text
			s.status(text)
		}
		select { // what changes meanwhile comes with the next
		case <-time.After(statusInterval):
		case <-ctx.Done():
			return
		}
	}
}

// summary is the state of all connections in a few words.
func summary(statuses []types.Status) string {
	connections, online, orphans, pending := 0, 0, 0, uint64(0)
	for _, s := range statuses {
		switch {
		case s.Name == runtime.LocalName:
		case s.Orphan:
			orphans++
		case s.State == types.Online:
			online++
			fallthrough
		default:
			connections++
		}
		pending += s.Outgoing.Pending
	}
	text := fmt.Sprintf("%d of %d connections online, %d messages pending", online, connections, pending)
	if orphans > 0 {
		text += fmt.Sprintf(", %d queues without a connection", orphans)
	}
	return text
}
