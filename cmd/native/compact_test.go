//go:build !js

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestCompact(t *testing.T) {
	config := writeConfig(t, strings.Replace(cloudConfig, "client_id: test", "client_id: test\n    compaction_interval: 24h", 1))
	startGateway(t, config)
	ctx := t.Context()
	g, err := (&options{config: config}).gateway()
	if err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte{7}, 3<<20)
	for range 10 { // five segments
		var out struct{ Seq uint64 }
		if err := g.send(ctx, http.MethodPost, "/api/connections/cloud/publish", url.Values{"topic": {"t"}}, bytes.NewReader(payload), &out); err != nil {
			t.Fatal(err)
		}
	}
	compact := func(args ...string) (reclaimed, left float64) {
		t.Helper()
		code, stdout, stderr := command(ctx, append([]string{"compact", "--config", config}, args...)...)
		_, at, _ := strings.Cut(stdout, "cloud: ")
		if _, err := fmt.Sscanf(at, "%f MiB were given back, %f MiB are left", &reclaimed, &left); code != 0 || err != nil {
			t.Fatalf("%d %s%s", code, stdout, stderr)
		}
		return reclaimed, left
	}
	if reclaimed, left := compact("cloud"); reclaimed > 1 || left < 30 {
		t.Errorf("%v given back and %v left of what is pending", reclaimed, left)
	}
	if code, _, stderr := command(ctx, "clear", "cloud", "--yes", "--config", config); code != 0 {
		t.Fatal(stderr)
	}
	reclaimed, left := compact()
	if reclaimed < 18 || left > 12 {
		t.Errorf("%v given back and %v left", reclaimed, left)
	}
	status, err := g.statuses(ctx)
	if err != nil || status[0].Outgoing.LastCompaction == nil || status[0].Outgoing.ReclaimedBytes < 18<<20 {
		t.Errorf("%+v, %v", status, err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no such connection", []string{"moon"}, 1, "no such connection"},
		{"no such queue", []string{"cloud", "--queue", "incomming"}, 1, "no such queue"},
		{"what comes in is not stored", []string{"cloud", "--queue", "incoming"}, 1, "persist.incoming"},
		{"a queue of all", []string{"--queue", "outgoing"}, 2, "needs a CONNECTION"},
		{"no time", []string{"--timeout", "0s"}, 2, "--timeout"},
		{"one queue", []string{"cloud", "--queue", "outgoing"}, 0, ""},
		{"the local broker's", []string{"_local"}, 0, ""},
	} {
		code, _, stderr := command(ctx, append([]string{"compact", "--config", config}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %d %s", c.name, code, stderr)
		}
	}
}
