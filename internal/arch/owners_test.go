package arch

import "strings"

// owner says who may import a package that is not ours. The longest prefix that
// covers the import path decides.
type owner struct {
	prefix string   // of the import path, whole elements
	by     []string // patterns of our packages; nil is everybody
	tests  []string // and whose tests may besides; nil is nobody
}

var (
	browser = only("wasm/...", "cmd/wasm")
	command = only("cmd/native/...")

	// outside lists those whose tests act as a program that knows nothing of
	// ours: a client or a broker of another make.
	outside = only("", "listener", "broker/brokertest", "internal/crash", "internal/interop", "cmd/native/...")
)

var owners = []owner{
	{prefix: "github.com/asynkron/protoactor-go", by: only("actors", "runtime", "examples/..."), tests: []string{""}}, // the root tests that a host's system is left running
	{prefix: "github.com/eclipse/paho.mqtt.golang", by: only("bench/..."), tests: outside},
	{prefix: "github.com/eclipse/paho.mqtt.golang/packets", by: only("broker/mqtt", "listener"), tests: outside},
	{prefix: "github.com/mochi-mqtt/server/v2", by: only("bench/..."), tests: outside},
	{prefix: "github.com/mochi-mqtt/server/v2/packets", by: only("listener"), tests: outside},
	{prefix: "github.com/nutsdb/nutsdb", by: only("persistence/nutsdb")},
	{prefix: "github.com/gofrs/flock", by: only("persistence/nutsdb")},
	{prefix: "github.com/gorilla/websocket", by: only("httpapi", "sidecar", "listener", "broker/dial", "internal/peer"), tests: only("cmd/native")},
	{prefix: "github.com/goccy/go-yaml", by: only("config/yaml")},
	{prefix: "github.com/spf13/cobra", by: command},
	{prefix: "github.com/spf13/pflag", by: command},
	{prefix: "github.com/coreos/go-systemd/v22", by: command},
	{prefix: "github.com/Shopify/toxiproxy/v2", by: only("internal/links")},
	{prefix: "github.com/rs/zerolog", by: only("internal/links")},                               // toxiproxy wants one
	{prefix: "github.com/andybalholm/brotli", by: []string{}, tests: only("internal/wasmsize")}, // what a server would make of it
	{prefix: "github.com/google/licensecheck", by: only("internal/notices")},
	{prefix: "github.com/prometheus", by: only("httpapi/metrics")},
	{prefix: "github.com/pb33f", by: []string{}, tests: only("httpapi")}, // compares the description of the API with what it does
	{prefix: "github.com/schollz/progressbar/v3", by: only("cmd/native")},
	{prefix: "software.sslmate.com/src/go-pkcs12", by: only("sidecar")},
	{prefix: "golang.org/x/sync"},
	{prefix: "golang.org/x/time"},
	{prefix: "golang.org/x/crypto", by: only("listener"), tests: only("cmd/native")}, // hashes of passwords
	{prefix: "golang.org/x/sys", by: only("persistence/nutsdb", "cmd/native/...", "internal/crash", "internal/smalldisk", "bench/...")},
	{prefix: "golang.org/x/term", by: command},
	{prefix: "golang.org/x/net", by: only("httpapi")},
	{prefix: "syscall/js", by: browser},
}

// system is what a pure package does not import: all that a browser lacks.
var system = only("os/...", "net", "net/http/...", "crypto/tls", "syscall", "golang.org/x/sys/...", "golang.org/x/net/...")

// unlinked lists, for each target, what the root package must not pull in,
// directly or not, into the programs that embed it.
var unlinked = map[string][]string{
	"linux/amd64": {"github.com/mochi-mqtt/server/v2/...", "github.com/spf13/cobra/...", "github.com/eclipse/paho.mqtt.golang"},
	"js/wasm": {"github.com/mochi-mqtt/server/v2/...", "github.com/spf13/cobra/...", "github.com/eclipse/paho.mqtt.golang",
		"github.com/nutsdb/nutsdb/...", "github.com/gorilla/websocket/..."},
}

// ownerOf finds who owns an import path that is not ours.
func ownerOf(path string) (owner, bool) {
	var found owner
	for _, o := range owners {
		if match(o.prefix+"/...", path) && len(o.prefix) > len(found.prefix) {
			found = o
		}
	}
	return found, found.prefix != ""
}

// standard reports whether the path is of the standard library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
