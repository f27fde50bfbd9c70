//go:build !js

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/types"
)

// must runs a command that succeeds, and returns what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := command(t.Context(), args...)
	if code != 0 {
		t.Fatalf("%v: %d %s%s", args, code, stdout, stderr)
	}
	return stdout
}

// publishTo stores messages on cloud of a gateway that runs.
func publishTo(t *testing.T, config string, n int) {
	t.Helper()
	g, err := (&options{config: config}).gateway()
	if err != nil {
		t.Fatal(err)
	}
	for k := range n {
		var out struct{ Seq uint64 }
		query := url.Values{"topic": {[]string{"a", "b"}[k%2]}, "qos": {fmt.Sprint(k % 3)}}
		if err := g.send(t.Context(), http.MethodPost, "/api/connections/cloud/publish", query, bytes.NewReader([]byte{0, 255, byte(k)}), &out); err != nil {
			t.Fatal(err)
		}
	}
}

// lines reads what was exported.
func lines(t *testing.T, text string) (list []archive.Message) {
	t.Helper()
	_, err := archive.Load(archive.NewReader(strings.NewReader(text)), nil, func(b []archive.Message) (archive.Result, error) {
		list = append(list, b...)
		return archive.Result{}, nil
	})
	if err != nil || len(list) != strings.Count(text, "\n") {
		t.Fatalf("%d of %d lines, %v", len(list), strings.Count(text, "\n"), err)
	}
	return list
}

// tree is everything that lies below a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		info, _ := e.Info()
		all[path] = fmt.Sprint(info.ModTime(), string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path, was := range before {
		if after[path] != was {
			t.Errorf("%s has changed", path)
		}
	}
	if len(before) != len(after) {
		t.Errorf("there were %d files, there are %d", len(before), len(after))
	}
}

// What is exported is the same from a gateway that runs and from its files, which do
// not change; another gateway imports it once, whether it runs or not.
func TestExportAndImport(t *testing.T) {
	from := writeConfig(t, cloudConfig)
	data := filepath.Join(filepath.Dir(from), "data")
	file := filepath.Join(t.TempDir(), "cloud.ndjson")
	live := ""
	t.Run("from a gateway that runs", func(t *testing.T) {
		startGateway(t, from)
		publishTo(t, from, 30)
		live = must(t, "export", "cloud", "--config", from)
		if list := lines(t, live); len(list) != 30 || list[4].Message.Topic != "a" || list[4].Message.QoS != 1 || !bytes.Equal(list[4].Message.Payload, []byte{0, 255, 4}) || list[4].Connection != "cloud" || list[4].Queue != types.Outgoing {
			t.Errorf("%d messages, %+v", len(list), list[4])
		}
		if list := lines(t, must(t, "export", "cloud", "--config", from, "--topic", "b", "--after", "10", "--since", "1h")); len(list) != 10 {
			t.Errorf("%d messages", len(list))
		}
		if out := must(t, "export", "cloud", "--config", from, "-o", file); out != "exported 30 messages to "+file+"\n" {
			t.Error(out)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != live {
			t.Errorf("the file differs: %v", err)
		}
		if out := must(t, "export", "cloud", "--config", from, "--dead"); out != "" {
			t.Errorf("there are dead letters: %s", out)
		}
		if out := must(t, "import", file, "--config", from); out != "imported 0 messages; 30 were left out, for they are here or were imported before\n" {
			t.Error(out)
		}
		code, _, stderr := command(t.Context(), "export", filepath.Join(data, "cloud"))
		if code != 1 || !strings.Contains(stderr, "in use by another process") || !strings.Contains(stderr, "name of the connection") {
			t.Errorf("files of a gateway that runs: %d %s", code, stderr)
		}
	})
	t.Run("from its files", func(t *testing.T) {
		before := tree(t, data)
		for _, args := range [][]string{{"cloud", "--config", from}, {filepath.Join(data, "cloud", "outgoing")}, {data}} {
			if got := must(t, append([]string{"export"}, args...)...); got != live {
				t.Errorf("export %v: %s\nwant %s", args, got, live)
			}
		}
		if list := lines(t, must(t, "export", "cloud", "--config", from, "--topic", "b", "--after", "10", "--since", "1h")); len(list) != 10 {
			t.Errorf("%d messages", len(list))
		}
		if out := must(t, "messages", "cloud", "--config", from, "--limit", "2"); !strings.Contains(out, "there may be more: --after 2") {
			t.Error(out)
		}
		var list []httpapi.Message
		out := must(t, "messages", filepath.Join(data, "cloud"), "--json", "--after", "28")
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || list[1].Seq != 30 || !bytes.Equal(list[1].Payload, []byte{0, 255, 29}) {
			t.Errorf("%v %s", err, out)
		}
		if out := must(t, "messages", filepath.Join(data, "cloud"), "--queue", "dead"); out != "no messages\n" {
			t.Errorf("%q", out)
		}
		same(t, before, tree(t, data))
	})
	to := writeConfig(t, cloudConfig)
	t.Run("into files", func(t *testing.T) {
		if out := must(t, "import", "--config", to, file); out != "imported 30 messages\n" {
			t.Error(out)
		}
		if out := must(t, "import", "--config", to, file, "--json"); !strings.Contains(out, `"known": 30`) {
			t.Error(out)
		}
		there := lines(t, must(t, "export", "cloud", "--config", to))
		for k, m := range lines(t, live) {
			if there[k].Message.Topic != m.Message.Topic || !bytes.Equal(there[k].Message.Payload, m.Message.Payload) || there[k].Message.QoS != m.Message.QoS || !there[k].Accepted.Equal(m.Accepted) || there[k].Store == m.Store {
				t.Errorf("message %d is %+v", k+1, there[k])
			}
		}
	})
	t.Run("into a gateway that runs", func(t *testing.T) {
		startGateway(t, to)
		if out := must(t, "import", "--config", to, file); !strings.HasPrefix(out, "imported 0 messages; 30 were left out") {
			t.Error(out)
		}
		if out := must(t, "import", "--config", to, file, "--again"); out != "imported 30 messages\n" {
			t.Error(out)
		}
		if list := lines(t, must(t, "export", "cloud", "--config", to)); len(list) != 60 {
			t.Errorf("%d messages", len(list))
		}
		if code, _, stderr := command(t.Context(), "import", "--config", to, file, "--to", "moon"); code != 1 || !strings.Contains(stderr, "no such connection") {
			t.Errorf("%d %s", code, stderr)
		}
		if code, _, stderr := command(t.Context(), "import", "--config", to, file, "--queue", "incoming"); code != 1 || !strings.Contains(stderr, "persist.incoming") {
			t.Errorf("%d %s", code, stderr)
		}
	})
}

const oldNodes = "../../archive/nedb/testdata/"

// What the old nodes left is imported, in the order in which it lies there, into files
// and into a gateway that runs, once.
func TestImportOfOldNodes(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	payloads := func() (s string) {
		for _, m := range lines(t, must(t, "export", "cloud", "--config", config)) {
			s += string(m.Message.Payload[len(m.Message.Payload)-1:])
		}
		return s
	}
	out := must(t, "import", oldNodes+"round-compacted.db", "--config", config, "--by-packet-id")
	if out != "imported 8 messages\n" || payloads() != "01234567" {
		t.Errorf("%s%s", out, payloads())
	}
	t.Run("into a gateway that runs", func(t *testing.T) {
		startGateway(t, config)
		out = must(t, "import", oldNodes+"round-compacted.db", oldNodes+"outgoing.db", "--config", config, "--to", "cloud")
		if want := "imported 6 messages; 8 were left out, for they are here or were imported before\n" + oldNodes + "outgoing.db: 1 messages at QoS 2 are not in it any more: the broker has them, but for the end of their handshake\n"; out != want {
			t.Errorf("%s, want %s", out, want)
		}
		list := lines(t, must(t, "export", "cloud", "--config", config, "--topic", "sensors/größe"))
		if len(list) != 1 || len(list[0].Message.Payload) != 256 || list[0].Message.Payload[255] != 255 {
			t.Errorf("%+v", list)
		}
		code, _, stderr := command(t.Context(), "import", oldNodes+"damaged.db", "--config", config)
		if code != 1 || !strings.Contains(stderr, "2 could not be imported; the first one: line 3: corrupt") {
			t.Errorf("%d %s", code, stderr)
		}
		list = lines(t, must(t, "export", "cloud", "--config", config))
		if len(list) != 8+6+6 {
			t.Errorf("%d messages", len(list))
		}
	})
}

// What is wrong is said.
func TestExportAndImportErrors(t *testing.T) {
	config := writeConfig(t, cloudConfig+"  other:\n    broker: mqtt://127.0.0.1:1\n    client_id: other\n    persist: {outgoing: false}\n")
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	line := func(connection, queue, topic string) string {
		return fmt.Sprintf(`{"mqttdb":1,"store":"0f","seq":3,"connection":%q,"queue":%q,"topic":%q,"qos":1,"payload":"AA=="}`+"\n", connection, queue, topic)
	}
	good := file("good", line("cloud", "outgoing", "t"))
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"export nothing", []string{"export"}, 2, "CONNECTION or DIR"},
		{"export whose", []string{"export", "moon"}, 1, "neither a directory nor a connection"},
		{"export a filter", []string{"export", "cloud", "--topic", "a#"}, 2, "--topic"},
		{"export since when", []string{"export", "cloud", "--since", "24"}, 2, "--since"},
		{"export two queues", []string{"export", "cloud", "--dead", "--queue", "sent"}, 2, "--dead means"},
		{"import nothing", []string{"import"}, 2, "FILE"},
		{"import what is not there", []string{"import", filepath.Join(dir, "none")}, 1, "no such file"},
		{"import a directory", []string{"import", dir}, 1, "is a directory"},
		{"import what", []string{"import", file("text", "hello\nworld\n")}, 1, "neither a file that mqttdb export wrote, nor one of NeDB"},
		{"import into what", []string{"import", good, "--queue", "dead"}, 2, "outgoing or incoming"},
		{"import for whom", []string{"import", file("moon", line("moon", "outgoing", "t"))}, 1, `"moon" is not configured`},
		{"import upwards", []string{"import", file("up", line("../cloud", "outgoing", "t"))}, 1, "../cloud"},
		{"import for local clients", []string{"import", file("local", line("_local", "outgoing", "t"))}, 1, "local clients"},
		{"import what is retained", []string{"import", file("retained", line("_local", "retained", "t"))}, 1, "publish it"},
		{"import for nobody", []string{"import", file("nobody", line("", "", "t"))}, 2, "--to CONNECTION"},
		{"import into memory", []string{"import", good, "--to", "other"}, 1, "persist.outgoing is off"},
		{"import old nodes' for nobody", []string{"import", oldNodes + "outgoing.db"}, 2, "--to CONNECTION"},
		{"import a bad topic", []string{"import", file("wild", line("cloud", "outgoing", "a/#")+line("cloud", "outgoing", "t"))}, 1, "1 could not be imported; the first one: message 3 of 0f: invalid topic"},
		{"import a newer line", []string{"import", file("newer", strings.Replace(line("cloud", "outgoing", "t"), `"mqttdb":1`, `"mqttdb":2`, 1))}, 1, "newer version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, stdout, stderr := command(t.Context(), append(c.args, "--config", config)...); code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("%d %s%s", code, stdout, stderr)
			}
		})
	}
	if out := must(t, "import", "--config", config, file("empty", "")); out != "imported 0 messages\n" {
		t.Error(out)
	}
	// What could be read was imported.
	if list := lines(t, must(t, "export", "cloud", "--config", config)); len(list) != 1 {
		t.Errorf("%d messages", len(list))
	}
}

// Standard input is read, also where a NeDB file comes from there.
func TestImportFromStdin(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	old, err := os.ReadFile(oldNodes + "round.db")
	if err != nil {
		t.Fatal(err)
	}
	imported := func(in string) string {
		t.Helper()
		var out, errs lockedBuffer
		if code := runTo(t.Context(), []string{"import", "-", "--config", config}, strings.NewReader(in), &out, &errs); code != 0 {
			t.Fatalf("%d %s", code, errs.String())
		}
		return out.String()
	}
	if out := imported(string(old)); out != "imported 8 messages\n" {
		t.Error(out)
	}
	if out := imported(must(t, "export", "cloud", "--config", config)); out != "imported 0 messages; 8 were left out, for they are here or were imported before\n" {
		t.Error(out)
	}
}

// What is stored for local clients is shown and exported by its name, of a gateway that
// runs and of its files.
func TestMessagesOfLocalClients(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	look := func(t *testing.T) {
		t.Helper()
		if out := must(t, "messages", "_local", "--queue", "retained", "--config", config); !strings.Contains(out, "state") || !strings.Contains(out, "kept") {
			t.Error(out)
		}
		if out := must(t, "messages", "_local", "--config", config); out != "no messages\n" {
			t.Error(out)
		}
		if list := lines(t, must(t, "export", "_local", "--queue", "retained", "--config", config)); len(list) != 1 || list[0].Queue != types.Retained || list[0].Connection != "_local" || !list[0].Message.Retain {
			t.Errorf("%+v", list)
		}
		if code, _, stderr := command(t.Context(), "messages", "_local", "--queue", "incoming", "--config", config); code != 1 || !strings.Contains(stderr, "retained") {
			t.Errorf("%d %s", code, stderr)
		}
	}
	t.Run("of a gateway that runs", func(t *testing.T) {
		startGateway(t, config)
		must(t, "pub", "state", "kept", "--retain", "--config", config)
		look(t)
	})
	t.Run("of its files", look)
}
