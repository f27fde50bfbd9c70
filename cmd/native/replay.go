//go:build !js

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mqttdb/mqttdb/types"
)

func newReplay(o *options) *cobra.Command {
	var r replay
	cmd := &cobra.Command{
		Use: "replay CONNECTION", Short: "Send again what was sent: for a broker that forgot it",
		Long: `Send messages again that a running gateway has sent to a broker: the remedy for
a broker that lost what it had acknowledged. keep_sent in the configuration says
for how long that is possible. They are put behind what is pending, in their
order, without their retain flags, and in an envelope they say "replayed".

What was sent when is known nearly: it may be some more than was asked for. What
was replayed before is left out unless --again is said; so a replay that came to
nothing half-way can be repeated, and sends nothing twice.`,
		Example: `  mqttdb replay cloud --since 20m
  mqttdb replay cloud --from 1200 --topic "sensors/#"
  mqttdb replay cloud --all --dry-run`,
		Args:              wantArgs(1, 1, "CONNECTION"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.check(); err != nil {
				return err
			}
			g, err := o.gateway()
			if err != nil {
				return err
			}
			return r.run(cmd, g, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.since, "since", "", "what was sent within this time, as in 20m")
	flags.Uint64Var(&r.from, "from", 0, "what has this number or a higher one")
	flags.BoolVar(&r.all, "all", false, "all that is kept")
	flags.StringVar(&r.topic, "topic", "", "only messages whose topic (as the broker sees it) matches this filter")
	flags.BoolVar(&r.again, "again", false, "also what was replayed before")
	flags.BoolVar(&r.retain, "retain", false, "with retain flags: a topic may end with an older value than it has")
	flags.BoolVar(&r.dryRun, "dry-run", false, "only say how many they are")
	flags.BoolVar(&r.yes, "yes", false, "do not ask")
	flags.DurationVar(&r.timeout, "timeout", 10*time.Minute, "how long to wait until they are stored")
	return cmd
}

// replay is what is to be sent again.
type replay struct {
	since, topic                    string
	from                            uint64
	all, again, retain, dryRun, yes bool
	timeout                         time.Duration
}

func (r *replay) check() error {
	switch {
	case r.since == "" && r.from == 0 && r.topic == "" && !r.all:
		return usageError{errors.New("say what is to be sent again: --since, --from, --topic or --all")}
	case r.all && (r.since != "" || r.from > 0 || r.topic != ""):
		return usageError{errors.New("--all is more than --since, --from and --topic")}
	case r.timeout <= 0:
		return usageError{errors.New("--timeout is more than 0")}
	}
	return nil
}

func (r *replay) run(cmd *cobra.Command, g gateway, name string) error {
	found, err := r.call(cmd.Context(), g, name, true)
	if err != nil {
		return err
	}
	left := ""
	if found.Left > 0 {
		left = fmt.Sprintf("; %d were replayed before, and are left out (--again takes them, too)", found.Left)
	}
	if r.dryRun || found.Count == 0 {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d messages of %s would be sent again%s\n", found.Count, name, left)
		return err
	}
	if !r.yes {
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return fmt.Errorf("this sends %d messages again: say --yes to do it without being asked", found.Count)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Send %d messages of %s again%s? [y/N] ", found.Count, name, left)
		line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
			return errors.New("nothing is sent again")
		}
	}
	did, err := r.call(cmd.Context(), g, name, false)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d messages of %s are sent again%s\n", did.Count, name, left)
	return err
}

// call asks the gateway.
func (r *replay) call(ctx context.Context, g gateway, name string, dry bool) (types.Replayed, error) {
	query := url.Values{"timeout": {r.timeout.String()}}
	for key, value := range map[string]string{"since": r.since, "topic": r.topic} {
		if value != "" {
			query.Set(key, value)
		}
	}
	if r.from > 0 {
		query.Set("from", strconv.FormatUint(r.from, 10))
	}
	for key, value := range map[string]bool{"again": r.again, "retain": r.retain, "dry_run": dry} {
		if value {
			query.Set(key, "true")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout+callTime)
	defer cancel()
	var out types.Replayed
	return out, g.send(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(name)+"/replay", query, nil, &out)
}
