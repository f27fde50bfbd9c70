//go:build !js

package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/cmd/native/demo"
)

// asGateway in the environment makes the test binary the program itself: the
// demo starts its gateway by that.
const asGateway = "MQTTDB_TEST_AS_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		main()
	}
	os.Exit(m.Run())
}

// What make run invites to try: cut the link, kill the gateway, restore the
// link, and nothing is missing.
func TestDemo(t *testing.T) {
	t.Setenv(asGateway, "1")
	t.Setenv("MQTTDB_DATA_DIR", t.TempDir())
	t.Setenv("MQTTDB_BROKER", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	keys, ended := make(chan byte), make(chan error, 1)
	reader, writer := io.Pipe()
	go func() {
		ended <- demo.Run(ctx, writer, keys)
		writer.Close()
	}()
	screen := make(chan string, 1000)
	go func() {
		defer close(screen)
		var text strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := reader.Read(buf)
			if err != nil {
				return
			}
			text.Write(buf[:n])
			screen <- text.String()
		}
	}()
	shown := ""
	await := func(pattern string) {
		t.Helper()
		wanted := regexp.MustCompile(pattern)
		for !wanted.MatchString(shown) {
			next, ok := <-screen
			if !ok {
				t.Fatalf("the demo ended (%v) before it showed %s:\n%s", <-ended, pattern, shown)
			}
			shown = next
		}
	}
	await(`demo sensor  ->  mqttdb gateway`)
	await(`online, 0 pending, \d+ delivered`)
	keys <- 'c'
	await(`[1-9]\d* pending.*\(CUT\)`)
	keys <- 'k'
	await(`kill -9 \d+(?s:.*)started again`)
	keys <- 'c'
	await(`is back(?s:.*)online, 0 pending.*, 0 missing, 0 out of order`)
	// The same by the buttons of the page, which are only there in a demonstration.
	at := regexp.MustCompile(`http://[^/]+/`).FindString(shown)
	press := func(verb string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"api/demo/"+verb, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Mqttdb", "1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %s", verb, res.Status)
		}
	}
	press("cut")
	await(`(?s)is back.*the link is cut`)
	press("mend")
	await(`(?s)is back.*the link is cut.*is back`)
	press("fill")
	await(`the disk is full`)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for said := ""; !strings.Contains(said, "disk full: "); {
		res, err := http.Get(at + "api/connections/demo")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if said = string(text); err != nil || ctx.Err() != nil {
			t.Fatalf("the gateway does not notice: %s %v", said, err)
		}
		<-tick.C
	}
	press("free")
	await(`(?s)the disk is full.*there is room.*online, 0 pending.*, 0 missing, 0 out of order`)
	press("kill")
	await(`(?s)kill -9 \d+.*kill -9 \d+.*started again`)
	keys <- 'q'
	for range screen { // to its end
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whoever tries the demo with a broker of their own is told what is wrong with
// it, or with the place of the data, without looking into a log.
func TestDemoSaysWhyItDoesNotStart(t *testing.T) {
	t.Setenv(asGateway, "1")
	foreign := t.TempDir()
	if err := os.MkdirAll(foreign+"/demo/outgoing", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign+"/demo/outgoing/letter.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, broker, data, says string }{
		{"no URL", "broker.example", t.TempDir(), "MQTTDB_BROKER: is not a URL"},
		{"foreign files", "mqtt://127.0.0.1:1", foreign, "letter.txt: move that away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("MQTTDB_BROKER", c.broker)
			t.Setenv("MQTTDB_DATA_DIR", c.data)
			if err := demo.Run(t.Context(), io.Discard, make(chan byte)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %s", err, c.says)
			}
		})
	}
}
