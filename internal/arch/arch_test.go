package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../.."

func TestLayers(t *testing.T) {
	house := loadHouse(t)
	for _, target := range targets {
		t.Run(target, func(t *testing.T) {
			report(t, checkImports(house, target))
		})
	}
}

func TestSource(t *testing.T) {
	report(t, checkSource(loadHouse(t)))
}

// Each file of testdata is a module with a violation of one rule, and says in
// its head what must be found ("want: …", a line each) and nothing else.
func TestViolationsAreFound(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			want, fsys := readCase(t, name)
			made, err := load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			got := checkSource(made)
			for _, target := range targets {
				for _, wrong := range checkImports(made, target) {
					got = append(got, target+" "+wrong)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestLongFileIsFound(t *testing.T) {
	for lines, want := range map[int]int{maxLines: 0, maxLines + 1: 1} {
		long := "package types\n" + strings.Repeat("\n", lines-1)
		made, err := load(fstest.MapFS{"go.mod": {Data: []byte("module example.com/made\n")}, "types/long.go": {Data: []byte(long)}})
		if err != nil {
			t.Fatal(err)
		}
		if found := checkSource(made); len(found) != want {
			t.Errorf("%d lines: found %q, want %d", lines, found, want)
		}
	}
}

// readCase reads a file of testdata: what is wanted, then the files, each after
// a line "-- name --".
func readCase(t *testing.T, name string) (want []string, fsys fstest.MapFS) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), "\n-- ")
	for line := range strings.Lines(head) {
		if wanted, ok := strings.CutPrefix(line, "want: "); ok {
			want = append(want, strings.TrimSpace(wanted))
		}
	}
	fsys = fstest.MapFS{"go.mod": {Data: []byte("module example.com/made\n")}}
	for part := range strings.SplitSeq(rest, "\n-- ") {
		file, body, ok := strings.Cut(part, " --\n")
		if !ok {
			t.Fatalf("%s: a file has no name: %q", name, part)
		}
		fsys[file] = &fstest.MapFile{Data: []byte(body + "\n")}
	}
	return want, fsys
}

// What the root links, every program that embeds it carries.
func TestRootLinksNoMoreThanItMust(t *testing.T) {
	for _, target := range targets {
		t.Run(target, func(t *testing.T) {
			goos, goarch, _ := strings.Cut(target, "/")
			list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
			list.Dir = root
			list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
			var message strings.Builder
			list.Stderr = &message
			out, err := list.Output()
			if err != nil {
				t.Fatalf("go list -deps: %v\n%s", err, message.String())
			}
			linked := strings.Fields(string(out))
			if !slices.Contains(linked, "github.com/asynkron/protoactor-go/actor") {
				t.Error("the root does not link the actors: it wires nothing")
			}
			for _, path := range linked {
				if matchAny(unlinked[target], path) {
					t.Errorf("the root links %s", path)
				}
			}
		})
	}
}

// The scripts compile these for js/wasm; a pure package that is not among them
// could come to need an operating system unseen.
func TestScriptsCompilePurePackagesForJS(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "scripts/packages.env"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "JS_PACKAGES='")
	list, _, _ = strings.Cut(list, "'")
	compiled := strings.Fields(list)
	for _, f := range loadHouse(t).files {
		path := "./" + f.pkg
		if f.pkg == "" {
			path = "."
		}
		if r, _ := rowOf(f.pkg); (r.pure || matchAny(browser, f.pkg)) && !slices.Contains(compiled, path) {
			t.Errorf("%s is made for the browser, but not in JS_PACKAGES of scripts/packages.env", path)
			compiled = append(compiled, path) // once is enough
		}
	}
}

func loadHouse(t *testing.T) tree {
	t.Helper()
	house, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return house
}

func report(t *testing.T, wrong []string) {
	t.Helper()
	for _, line := range wrong {
		t.Error(line)
	}
}
