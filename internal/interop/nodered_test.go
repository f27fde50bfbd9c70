//go:build unix

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// object is a node of a flow, or a setting.
type object = map[string]any

// flow has, for the broker at addr and a version of MQTT as Node-RED calls it
// ("4" or "5"): a node for each QoS that sends what comes to <prefix>/in/<qos> on
// to <prefix>/out/<qos>, retained what came to <prefix>/keep; and what the broker
// is to say when Node-RED comes and when it is lost.
func flow(addr, version string) []object {
	prefix := "v" + version
	id := func(name string) string { return prefix + name }
	nodes := []object{
		{"id": id("tab"), "type": "tab", "label": prefix},
		{
			"id": id("broker"), "type": "mqtt-broker", "broker": "127.0.0.1", "port": port(addr), "clientid": prefix + "-node-red",
			"autoConnect": true, "usetls": false, "protocolVersion": version, "keepalive": "60", "cleansession": true,
			"birthTopic": prefix + "/state", "birthQos": "1", "birthRetain": "true", "birthPayload": "online", "birthMsg": object{},
			"willTopic": prefix + "/state", "willQos": "1", "willRetain": "true", "willPayload": "lost", "willMsg": object{},
			"closeTopic": "", "closeQos": "0", "closePayload": "", "closeMsg": object{},
		},
	}
	pipe := func(name, from, to, qos, retain string) {
		nodes = append(nodes,
			object{
				"id": id(name + "in"), "type": "mqtt in", "z": id("tab"), "topic": prefix + "/" + from, "qos": qos, "datatype": "buffer",
				"broker": id("broker"), "nl": false, "rap": true, "rh": 0, "inputs": 0, "x": 100, "y": 100, "wires": [][]string{{id(name + "out")}},
			},
			object{
				"id": id(name + "out"), "type": "mqtt out", "z": id("tab"), "topic": prefix + "/" + to, "qos": qos, "retain": retain,
				"respTopic": "", "contentType": "", "userProps": "", "correl": "", "expiry": "", "broker": id("broker"), "x": 300, "y": 100, "wires": []string{},
			})
	}
	for _, qos := range []string{"0", "1", "2"} {
		pipe("qos"+qos, "in/"+qos, "out/"+qos, qos, "false")
	}
	pipe("keep", "keep", "kept", "1", "true")
	return nodes
}

// startNodeRED runs Node-RED with these nodes.
func startNodeRED(t testing.TB, nodes []object) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(nodes)
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf(`module.exports = {
  flowFile: "flow.json", uiHost: "127.0.0.1", uiPort: %s, httpAdminRoot: false, httpNodeRoot: false, credentialSecret: "test",
  mqttReconnectTime: 100, telemetry: { enabled: false }, diagnostics: { enabled: false }, externalModules: { autoInstall: false },
  logging: { console: { level: "info", metrics: false, audit: false } },
};`, port(freeAddr(t)))
	for name, content := range map[string][]byte{"flow.json": text, "settings.js": []byte(settings)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd, out := javascript(t, filepath.Join(programs.modules, "node-red", "red.js"), "--userDir", dir, "--settings", filepath.Join(dir, "settings.js"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Node-RED:\n%s", out)
		}
	})
	return cmd
}

// relays checks that the flow of each version sends on what it gets, at each QoS,
// whole and in order.
func relays(t *testing.T, w *watcher, prefixes []string) {
	t.Helper()
	for _, prefix := range prefixes {
		for qos := range byte(3) {
			from, to := fmt.Sprintf("%s/in/%d", prefix, qos), fmt.Sprintf("%s/out/%d", prefix, qos)
			// The nodes subscribe one by one when they are connected.
			for try := 0; !w.soon(to, "\x00are you there?"); try++ {
				if try == 100 {
					t.Fatalf("no answer on %s", to)
				}
				w.publish(from, qos, false, "\x00are you there?")
			}
			const n = 100
			for i := range n {
				w.publish(from, qos, false, fmt.Sprintf("\xff%d", i))
			}
			w.await(to, fmt.Sprintf("\xff%d", n-1))
			next := 0
			for _, m := range w.on(to) {
				if m.payload[0] == 0 {
					continue
				}
				if want := fmt.Sprintf("\xff%d", next); m.payload != want || m.qos != qos {
					t.Fatalf("%q at QoS %d came on %s, want %q", m.payload, m.qos, to, want)
				}
				next++
			}
		}
	}
}

// The core MQTT nodes of Node-RED: each QoS, retained messages, birth and will,
// and that they come back by themselves after the gateway was killed.
func TestNodeRED(t *testing.T) {
	prefixes := []string{"v4", "v5"}
	g := startGateway(t)
	w := watch(t, g)
	process := startNodeRED(t, append(flow(g.addr, "4"), flow(g.addr, "5")...))
	for _, prefix := range prefixes {
		w.await(prefix+"/state", "online")
	}
	relays(t, w, prefixes)
	for _, prefix := range prefixes {
		w.publish(prefix+"/keep", 1, false, "this")
		w.await(prefix+"/kept", "this")
	}
	late := watch(t, g)
	for _, prefix := range prefixes {
		for topic, payload := range map[string]string{"/kept": "this", "/state": "online"} {
			if m := late.await(prefix+topic, payload); !m.retained {
				t.Errorf("%s is not retained", prefix+topic)
			}
		}
	}

	g.kill()
	g.start()
	w = watch(t, g)
	relays(t, w, prefixes)

	process.Process.Kill()
	for _, prefix := range prefixes {
		w.await(prefix+"/state", "lost")
	}
}
