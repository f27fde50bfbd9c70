//go:build !js

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mqttdb/mqttdb/cmd/native/stored"
)

const placeHelp = `DIR is the directory of a queue, of a connection or of all of them (data_dir), or
the name of a connection; without it it is data_dir of the configuration. Not one
byte there is changed. The gateway may be running: then what is shown may be a
moment old.`

func newInspect(o *options) *cobra.Command {
	var asJSON, entries bool
	cmd := &cobra.Command{
		Use: "inspect [DIR | CONNECTION]", Short: "Show what lies in the files of a queue",
		Long: "Show what lies in the files of queues: counters, marks, segments, and with\n--entries each entry of the log.\n\n" + placeHelp,
		Example: `  mqttdb inspect
  mqttdb inspect cloud --entries
  mqttdb inspect /var/lib/mqttdb/cloud/outgoing --json`,
		Args: wantArgs(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := o.place(args)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			found := []stored.Inspection{}
			for n, dir := range dirs {
				i, err := stored.Inspect(cmd.Context(), dir, entries)
				if err != nil {
					return err
				}
				if asJSON {
					found = append(found, i)
					continue
				}
				if n > 0 {
					fmt.Fprintln(out)
				}
				if err := i.Print(out); err != nil {
					return err
				}
			}
			if asJSON {
				return printJSON(out, found)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array with an object for each queue")
	cmd.Flags().BoolVar(&entries, "entries", false, "list every entry of the log")
	return cmd
}

func newVerify(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify [DIR | CONNECTION]", Short: "Read all that is stored, and say what is damaged",
		Long: "Read all that is stored, compare every checksum, and say what is damaged or\nmissing, and where. The exit status is 1 if something is.\n\n" + placeHelp,
		Args: wantArgs(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := o.place(args)
			if err != nil {
				return err
			}
			out, damaged := cmd.OutOrStdout(), 0
			verdicts := []stored.Verdict{}
			for _, dir := range dirs {
				bar := newProgress(cmd.ErrOrStderr())
				v, err := stored.Verify(cmd.Context(), dir, func(done, all int64) { bar.bytes("verify "+dir, done, all) })
				bar.end()
				if err != nil {
					return err
				}
				verdicts = append(verdicts, v)
				if !v.Sound() {
					damaged++
				}
				if !asJSON {
					printVerdict(out, &v)
				}
			}
			if asJSON {
				if err := printJSON(out, verdicts); err != nil {
					return err
				}
			}
			if damaged > 0 {
				return fmt.Errorf("%d of %d queues are damaged; the gateway starts all the same, does without what is hit, and counts it as quarantined", damaged, len(dirs))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array with an object for each queue")
	return cmd
}

func printVerdict(w io.Writer, v *stored.Verdict) {
	word := "sound"
	if !v.Sound() {
		word = "DAMAGED"
	}
	fmt.Fprintf(w, "%s: %s; %d entries, %d messages that are still needed\n", v.Directory, word, v.Entries, v.Messages)
	for _, f := range v.Faults {
		fmt.Fprintf(w, "  %s\n", f)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(w, "  (%s)\n", n)
	}
}

// place returns the directories of the queues that the arguments mean.
func (o *options) place(args []string) ([]string, error) {
	if len(args) > 0 {
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() && o.config == "" {
			return stored.Find(args[0])
		}
	}
	cfg, from, err := o.load()
	if err != nil {
		return nil, err
	}
	dir := cfg.DataDir
	if len(args) > 0 {
		dir = filepath.Join(cfg.DataDir, args[0])
		if _, err := os.Stat(dir); err != nil {
			if dirs, err := stored.Find(args[0]); err == nil {
				return dirs, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			return nil, fmt.Errorf("%s is neither a directory nor a connection with stored messages: there is no %s (data_dir of %s)", args[0], dir, from)
		}
	}
	dirs, err := stored.Find(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s (data_dir of %s): nothing was stored yet, or name a directory", dir, from)
	}
	return dirs, err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
