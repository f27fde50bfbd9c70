package arch

import (
	"slices"
	"strings"
	"testing"
)

// The layers of the house, from the ground up. Imports go down only; ports and
// pure logic may import each other.
const (
	vocabulary = iota // L0: standard library only
	port              // L1: ports and pure logic
	technology        // L1: an implementation of a port, or the suite that all of them pass
	actor             // L2
	machine           // L3: the embedder's
	face              // L4
	facade            // L5: the root, which wires
	top               // L5: commands, and what stands beside the house
)

// row says where the packages that match its pattern stand. A pattern is a
// path below the module's root ("" is the root itself) or, ending in "/...", a
// path with all below it.
type row struct {
	pattern string
	layer   int
	pure    bool     // imports no operating system and compiles for js/wasm
	imports []string // patterns of our packages that it may import
	tests   []string // and that its tests may import besides
}

var (
	ports = []string{"types", "config", "persistence", "persistence/journal", "broker"}

	// kits is what tests of actors and above run on.
	kits = []string{
		"persistence/memory", "persistence/faultstore", "persistence/storetest",
		"broker/mqtt", "broker/loopback", "broker/brokertest", "internal/mosquitto",
	}

	// engine is what a face may use: everything that names no technology.
	engine = join(ports, "actors", "runtime")

	// house is everything below the root.
	house = join(engine, "archive", "archive/nedb", "persistence/...", "broker/...", "config/...", "listener", "httpapi/...", "web", "sidecar")
)

var layers = []row{
	{pattern: "types", layer: vocabulary, pure: true},

	{pattern: "config", layer: port, pure: true, imports: only("types"), tests: only("config/yaml")},
	{pattern: "persistence", layer: port, pure: true, imports: only("types"), tests: only("persistence/journal")},
	{pattern: "persistence/journal", layer: port, pure: true, imports: only("types", "persistence"), tests: kits},
	{pattern: "broker", layer: port, pure: true, imports: only("types")},

	{pattern: "archive", layer: port, pure: true, imports: only("types")},
	{pattern: "archive/nedb", layer: technology, pure: true, imports: only("types", "archive")},
	{pattern: "config/yaml", layer: technology, imports: only("types", "config")},
	{pattern: "persistence/memory", layer: technology, pure: true, imports: only("types", "persistence", "persistence/journal"), tests: kits},
	{pattern: "persistence/nutsdb", layer: technology, imports: only("types", "persistence", "persistence/journal"), tests: kits},
	{pattern: "persistence/storetest", layer: technology, imports: only("types", "persistence", "persistence/journal"), tests: kits},
	{pattern: "persistence/faultstore", layer: technology, imports: only("types", "persistence", "persistence/journal"), tests: kits},
	{pattern: "broker/mqtt", layer: technology, pure: true, imports: only("types", "broker"), tests: join(kits, "broker/dial")},
	{pattern: "broker/dial", layer: technology, imports: only("types", "broker"), tests: join(kits, "internal/tinyproxy")},
	{pattern: "broker/loopback", layer: technology, pure: true, imports: only("types", "broker"), tests: kits},
	{pattern: "broker/brokertest", layer: technology, imports: only("types", "broker"), tests: kits},

	{pattern: "actors", layer: actor, pure: true, imports: ports, tests: kits},
	{pattern: "runtime", layer: machine, pure: true, imports: join(ports, "actors"), tests: kits},

	{pattern: "listener", layer: face, imports: engine, tests: join(kits, "persistence/nutsdb", "broker/dial")},
	{pattern: "httpapi", layer: face, imports: join(engine, "archive", "web", "httpapi/metrics"), tests: kits},
	{pattern: "sidecar", layer: face, imports: join(engine, "archive", "archive/nedb"), tests: join(kits, "internal/peer")},
	{pattern: "httpapi/metrics", layer: port, imports: only("types")},
	{pattern: "web", layer: port},

	{pattern: "wasm/jsx", layer: vocabulary},
	{pattern: "wasm/indexeddb", layer: technology, imports: only("types", "persistence", "persistence/journal", "wasm/jsx"), tests: join(kits, "internal/chromium")},
	{pattern: "wasm/websocket", layer: technology, imports: only("types", "broker", "wasm/jsx"), tests: kits},
	{pattern: "wasm/bridge", layer: face, imports: join(engine, "wasm/jsx"), tests: kits},

	{pattern: "", layer: facade, imports: join(engine,
		"persistence/memory", "persistence/nutsdb", "broker/mqtt", "broker/dial", "broker/loopback",
		"wasm/indexeddb", "wasm/websocket"), tests: join(house, "internal/mosquitto")},

	{pattern: "docs", layer: vocabulary},
	{pattern: "cmd/native/...", layer: top, imports: join(house, "", "docs", "cmd/native/..."), tests: only("internal/...")},
	{pattern: "cmd/wasm", layer: top, imports: join(engine, "", "wasm/...")},
	{pattern: "examples/...", layer: top, imports: join(ports, "", "runtime", "actors")},
	{pattern: "bench/...", layer: top, imports: join(house, "", "bench/...", "internal/mosquitto", "internal/peer")},

	{pattern: "internal/arch", layer: vocabulary},
	{pattern: "internal/dist", layer: top, tests: only("config", "config/yaml")},
	{pattern: "internal/notices", layer: vocabulary},
	{pattern: "internal/mosquitto", layer: vocabulary},
	{pattern: "internal/peer", layer: facade, imports: only("sidecar")},
	{pattern: "internal/tinyproxy", layer: vocabulary},
	{pattern: "internal/smalldisk", layer: vocabulary},
	{pattern: "internal/diskfull", layer: top, imports: join(house, "", "internal/mosquitto", "internal/smalldisk")},
	{pattern: "internal/links", layer: top, imports: join(house, "", "internal/mosquitto", "internal/tinyproxy")},
	{pattern: "internal/crash", layer: top, imports: join(house, "", "internal/mosquitto", "internal/smalldisk")},
	{pattern: "internal/books", layer: top, tests: join(engine, "persistence/memory", "persistence/nutsdb", "broker/loopback")},
	{pattern: "internal/golden", layer: top, tests: join(engine, "config/yaml", "persistence/memory", "persistence/faultstore", "broker/mqtt")},
	{pattern: "internal/interop", layer: top, tests: only("types")},
	{pattern: "internal/inbrowser", layer: top, tests: only("", "types", "broker", "internal/mosquitto")},
	{pattern: "internal/wasmsize", layer: vocabulary},
	{pattern: "internal/chromium", layer: vocabulary},
	{pattern: "internal/browser", layer: top, tests: only("internal/mosquitto")},
}

func only(patterns ...string) []string { return patterns }

func join(list []string, more ...string) []string { return append(slices.Clone(list), more...) }

// rowOf finds the row of a package; an exact pattern goes before a tree.
func rowOf(pkg string) (row, bool) {
	for _, exact := range []bool{true, false} {
		for _, r := range layers {
			if tree := strings.HasSuffix(r.pattern, "/..."); tree != exact && match(r.pattern, pkg) {
				return r, true
			}
		}
	}
	return row{}, false
}

// match reports whether the pattern covers the path.
func match(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}

// The table itself must not open a way up, nor one between implementations.
func TestLayersGoDownOnly(t *testing.T) {
	for _, r := range layers {
		for _, below := range layers {
			if r.pattern == below.pattern || !matchAny(r.imports, strings.TrimSuffix(below.pattern, "/...")) {
				continue
			}
			if below.layer > r.layer || below.layer == r.layer && r.layer != port {
				t.Errorf("%q may import %q, which does not stand below it", r.pattern, below.pattern)
			}
		}
	}
}
