//go:build unix

package crash

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// place is a folder with a configuration in it, for a gateway that is not to
// start there.
type place struct {
	t   testing.TB
	dir string
}

// config writes a configuration; what is not said is as in all these tests.
func (p place) config(mqtt, http, data string) {
	write(p.t, p.dir, "mqttdb.yaml", "data_dir: "+data+"\nmqtt:\n  listen: "+mqtt+"\nhttp:\n  listen: "+http+
		"\nconnections:\n  "+connectionName+":\n    broker: mqtt://127.0.0.1:1\n")
}

// anyPort is a configuration that leaves the ports to the system.
func (p place) anyPort() { p.config("127.0.0.1:0", "127.0.0.1:0", "data") }

// gateway is one that may start here.
func (p place) gateway() *gateway { return gatewayOn(p.t, filepath.Join(p.dir, "mqttdb.yaml")) }

// queue is the folder of the queue.
func (p place) queue() string { return p.gateway().queueDir() }

// filled is a gateway that has stored a message, and was ended in good order.
func (p place) filled() {
	p.t.Helper()
	p.anyPort()
	g := p.gateway()
	g.start()
	publishOne(p.t, g, "t", []byte("stored"))
	if code, _ := g.stop(); code != 0 {
		p.t.Fatalf("exit status %d", code)
	}
}

// taken is an address at which somebody listens.
func (p place) taken() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// newer changes a STORE so that another version seems to have written it: field
// is the offset of a version in it, and the record within it is summed up too.
func newer(t testing.TB, file string, field int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const record = 20 // see package nutsdb: STORE; and 32 bytes long
	b[field] = 9
	sum := func(b []byte) {
		binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli()))
	}
	sum(b[record : len(b)-4])
	sum(b)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Bad input: the gateway does not start, exits with status 1, says in one line
// what to do, and leaves what it found as it was. DIR stands for the folder of
// the configuration, ADDR for the address that make returned.
func TestRefusedStarts(t *testing.T) {
	tests := []struct {
		name string
		make func(place) (addr string)
		as   func(*exec.Cmd) // nil: as we are
		want string
	}{
		{
			name: "unknown key",
			make: func(p place) string {
				write(p.t, p.dir, "mqttdb.yaml", "connections:\n  cloud:\n    brokr: mqtt://127.0.0.1\n")
				return ""
			},
			want: `DIR/mqttdb.yaml:3:5: connections.cloud.brokr: unknown key; did you mean "broker"?`,
		},
		{
			name: "key twice",
			make: func(p place) string {
				write(p.t, p.dir, "mqttdb.yaml", "data_dir: a\ndata_dir: b\n")
				return ""
			},
			want: `DIR/mqttdb.yaml:2:1: data_dir: the key is there twice, first in line 1`,
		},
		{
			name: "value without a unit",
			make: func(p place) string {
				write(p.t, p.dir, "mqttdb.yaml", "connections:\n  cloud:\n    broker: mqtt://127.0.0.1\n    keep_alive: 30\n")
				return ""
			},
			want: `DIR/mqttdb.yaml:4:17: connections.cloud.keep_alive: "30": a duration needs a unit: 500ms, 30s, 5m, 1h, 7d`,
		},
		{
			name: "no configuration",
			make: func(p place) string { return "" },
			want: `read the configuration: open DIR/mqttdb.yaml: no such file or directory`,
		},
		{
			name: "port of the local broker in use",
			make: func(p place) string {
				addr := p.taken()
				p.config(addr, "127.0.0.1:0", "data")
				return addr
			},
			want: `listen for MQTT clients on ADDR: listen tcp ADDR: bind: address already in use (another program has this port: stop it, or set mqtt.listen to another port)`,
		},
		{
			name: "port of the API in use",
			make: func(p place) string {
				addr := p.taken()
				p.config("127.0.0.1:0", addr, "data")
				return addr
			},
			want: `http.listen: listen tcp ADDR: bind: address already in use (another program has this port: stop it, or set http.listen to another port)`,
		},
		{
			name: "data directory is a file",
			make: func(p place) string {
				write(p.t, p.dir, "data", "")
				p.anyPort()
				return ""
			},
			want: `open DIR/data: open DIR/data: not a directory (a file is where a directory should be: move it away or choose another data_dir)`,
		},
		{
			name: "data directory below a file",
			make: func(p place) string {
				write(p.t, p.dir, "file", "")
				p.config("127.0.0.1:0", "127.0.0.1:0", "file/data")
				return ""
			},
			want: `open DIR/file/data: stat DIR/file/data: not a directory (a file is where a directory should be: move it away or choose another data_dir)`,
		},
		{
			name: "data directory read-only",
			make: func(p place) string {
				p.anyPort()
				if err := os.Mkdir(filepath.Join(p.dir, "data"), 0o555); err != nil {
					p.t.Fatal(err)
				}
				return ""
			},
			as:   nobody,
			want: `start connection cloud: open cloud/outgoing: mkdir DIR/data/cloud: permission denied (make DIR/data/cloud/outgoing writable for the user that runs mqttdb)`,
		},
		{
			name: "another's files where the queue is to be",
			make: func(p place) string {
				p.anyPort()
				if err := os.MkdirAll(p.queue(), 0o755); err != nil {
					p.t.Fatal(err)
				}
				write(p.t, p.queue(), "notes.txt", "not yours")
				return ""
			},
			want: `start connection cloud: open cloud/outgoing: not an mqttdb store: DIR/data/cloud/outgoing holds notes.txt: move that away or choose another directory`,
		},
		{
			name: "another's data files in the queue",
			make: func(p place) string {
				p.filled()
				write(p.t, p.queue(), "measurements.dat", "not yours")
				return ""
			},
			want: `start connection cloud: open cloud/outgoing: not an mqttdb store: DIR/data/cloud/outgoing holds measurements.dat: move that away or choose another directory`,
		},
		{
			name: "newer layout",
			make: func(p place) string {
				p.filled()
				newer(p.t, filepath.Join(p.queue(), "STORE"), 4)
				return ""
			},
			want: `start connection cloud: open cloud/outgoing: written by a newer version of mqttdb: layout 9 of the directory, this version reads up to 1`,
		},
		{
			name: "newer format",
			make: func(p place) string {
				p.filled()
				newer(p.t, filepath.Join(p.queue(), "STORE"), 20+4)
				return ""
			},
			want: `start connection cloud: open cloud/outgoing: written by a newer version of mqttdb: format 9.1, this version reads up to 1.x`,
		},
		{
			name: "data directory in use",
			make: func(p place) string {
				p.anyPort()
				g := p.gateway()
				g.start()
				return fmt.Sprint(g.running.cmd.Process.Pid)
			},
			want: `start connection cloud: open cloud/outgoing: in use by another process: DIR/data/cloud/outgoing is held by process ADDR (stop that process, or set another data_dir)`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := place{t, reachable(t)}
			addr := test.make(p)
			data := filepath.Join(p.dir, "data")
			before := contents(t, data)
			code, out, log := runToEnd(t, test.as, "serve", "--config", filepath.Join(p.dir, "mqttdb.yaml"))
			want := "mqttdb: " + strings.NewReplacer("DIR", p.dir, "ADDR", addr).Replace(test.want)
			lines := strings.Split(strings.TrimSpace(log), "\n")
			if got := lines[len(lines)-1]; code != 1 || got != want {
				t.Errorf("exit status %d\n got %s\nwant %s", code, got, want)
			}
			if out != "" {
				t.Errorf("it said that it serves: %s", out)
			}
			if before != nil {
				compare(t, before, contents(t, data))
			}
		})
	}
}

// A store that was refused because of its version is whole: when the version is
// the right one again, the message that waits in it is sent.
func TestRefusedStoreIsWhole(t *testing.T) {
	p := place{t, reachable(t)}
	p.filled()
	file := filepath.Join(p.queue(), "STORE")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer(t, file, 4)
	if code, _, log := runToEnd(t, nil, "serve", "--config", p.gateway().config); code != 1 {
		t.Fatalf("exit status %d: %s", code, log)
	}
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	g := p.gateway()
	g.start()
	if q := g.status().Outgoing; q.Pending != 1 || q.Accepted != 1 || q.Quarantined != 0 || q.DuplicatesPossible {
		t.Errorf("%+v", q)
	}
}

// Files that nobody would take for ours may lie in a queue; they stay.
func TestHarmlessFilesStay(t *testing.T) {
	p := place{t, reachable(t)}
	p.filled()
	notes := write(t, p.queue(), "notes.txt", "not yours")
	g := p.gateway()
	g.start()
	if q := g.status().Outgoing; q.Pending != 1 {
		t.Errorf("%+v", q)
	}
	g.kill()
	if b, err := os.ReadFile(notes); err != nil || string(b) != "not yours" {
		t.Errorf("%q %v", b, err)
	}
}

// reachable is a new folder that every user may look into.
func reachable(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // it is the test's own
		t.Fatal(err)
	}
	return dir
}

// nobody runs a program without the rights of root, whom nothing is read-only to.
func nobody(c *exec.Cmd) {
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
}

// contents reads all files below dir; nil if there is no dir.
func contents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path] = nil
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// compare holds two contents against each other.
func compare(t testing.TB, before, after map[string][]byte) {
	t.Helper()
	for name, b := range before {
		if now, ok := after[name]; !ok || !bytes.Equal(now, b) {
			t.Errorf("%s was changed or removed", name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s was made", name)
		}
	}
}
