//go:build !js

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every recipe is a configuration that check takes, and says whether it was tried.
func TestRecipes(t *testing.T) {
	recipes, err := filepath.Glob("../../docs/brokers/*.md")
	if err != nil || len(recipes) < 6 {
		t.Fatalf("%v %v", recipes, err)
	}
	index, err := os.ReadFile("../../docs/brokers/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, recipe := range recipes {
		name := filepath.Base(recipe)
		if name == "README.md" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(recipe)
			if err != nil {
				t.Fatal(err)
			}
			said := regexp.MustCompile(`(?m)^\| .* \| \[` + regexp.QuoteMeta(name) + `\].* \| (\*\*tested\*\*|untested)`).FindSubmatch(index)
			title, _, _ := strings.Cut(string(text), "\n")
			if said == nil || !strings.HasSuffix(title, "— "+strings.Trim(string(said[1]), "*")) {
				t.Errorf("the index says %q, the title %q", said, title)
			}
			fragments := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
			if len(fragments) == 0 {
				t.Fatal("there is no configuration")
			}
			for _, f := range fragments {
				file := filepath.Join(t.TempDir(), "mqttdb.yaml")
				if err := os.WriteFile(file, f[1], 0o600); err != nil {
					t.Fatal(err)
				}
				if code, stdout, stderr := command(t.Context(), "check", file); code != 0 || !strings.Contains(stdout, "no errors") {
					t.Errorf("%d %s%s", code, stdout, stderr)
				}
			}
		})
	}
}

// The README names every command, and none that is not there; so does its table
// the flags.
func TestCommandsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `mqttdb .*$").FindAllString(string(text), -1)
	var documented []string
	for _, row := range rows {
		first := strings.Split(row, "|")[1]
		for _, m := range regexp.MustCompile("`mqttdb ([a-z]+)").FindAllStringSubmatch(first, -1) {
			documented = append(documented, m[1])
		}
	}
	root := newRoot()
	root.InitDefaultCompletionCmd()
	var there []string
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Hidden {
			continue
		}
		there = append(there, c.Name())
		if c.Short == "" || c.Name() != "completion" && c.Args == nil {
			t.Errorf("%s does not say what it does, or takes anything", c.Name())
		}
	}
	slices.Sort(documented)
	slices.Sort(there)
	if !slices.Equal(documented, there) {
		t.Errorf("README has %v, the program %v", documented, there)
	}
	flags := map[string]bool{}
	for _, c := range root.Commands() {
		for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(c.Flags().FlagUsages()+root.PersistentFlags().FlagUsages()+completionFlags(c), -1) {
			flags[m[1]] = true
		}
	}
	for _, row := range rows {
		for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(row, -1) {
			if !flags[m[1]] {
				t.Errorf("no command has the flag --%s: %s", m[1], row)
			}
		}
	}
}

func completionFlags(c *cobra.Command) string {
	text := ""
	for _, sub := range c.Commands() {
		text += sub.Flags().FlagUsages()
	}
	return text
}

// The shell is offered every command.
func TestCompletion(t *testing.T) {
	_, stdout, _ := command(t.Context(), cobra.ShellCompRequestCmd, "")
	for _, name := range []string{"init", "serve", "check", "status", "clear", "replay", "drain", "compact", "pause", "resume", "reload", "pub", "sub"} {
		if !regexp.MustCompile(`(?m)^` + name + `\t.+$`).MatchString(stdout) {
			t.Errorf("%s is not offered:\n%s", name, stdout)
		}
	}
	if _, stdout, _ := command(t.Context(), "completion", "bash"); !strings.Contains(stdout, "mqttdb") {
		t.Error("no completion for bash")
	}
}

// The unit of systemd starts what there is, and is told what it waits for.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../../packaging/mqttdb.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Type=notify\n", "ExecReload=kill -HUP $MAINPID", "ExecStart=mqttdb serve --config /etc/mqttdb/mqttdb.yaml", "WatchdogSec=", "NoNewPrivileges=yes", "ProtectSystem=strict"} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("the unit lacks %s", line)
		}
	}
	if !slices.Contains(searched, "/etc/mqttdb/mqttdb.yaml") {
		t.Error("the file of the unit is not one that other commands look for")
	}
}
