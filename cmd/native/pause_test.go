//go:build !js

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPauseAndResume(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	startGateway(t, config)
	ctx := t.Context()
	if code, stdout, stderr := command(ctx, "pause", "cloud", "--config", config); code != 0 || stdout != "cloud is paused\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	eventually(t, "paused", "status", "--config", config)
	if code, stdout, stderr := command(ctx, "resume", "cloud", "--config", config); code != 0 || stdout != "cloud is resumed\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	eventually(t, "backoff", "status", "--config", config) // nobody is at its broker
	for _, verb := range []string{"pause", "resume"} {
		if code, _, stderr := command(ctx, verb, "moon", "--config", config); code != 1 || !strings.Contains(stderr, "moon") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%d %q", code, stderr)
		}
		if code, _, stderr := command(ctx, verb, "--config", config); code != 2 || !strings.Contains(stderr, "wants CONNECTION") {
			t.Errorf("%d %q", code, stderr)
		}
	}
}

// The shell is offered the connections of the gateway that runs; none if none does.
func TestConnectionsAreCompleted(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	offered := func(verb string) bool {
		_, stdout, _ := command(t.Context(), cobra.ShellCompRequestCmd, "--config", config, verb, "")
		return strings.Contains(stdout, "cloud\n")
	}
	if offered("pause") {
		t.Error("offered, and no gateway runs")
	}
	startGateway(t, config)
	for _, verb := range []string{"pause", "resume", "clear", "drain", "messages"} {
		if !offered(verb) {
			t.Errorf("%s: cloud is not offered", verb)
		}
	}
}
