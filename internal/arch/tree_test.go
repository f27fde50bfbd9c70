package arch

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// tree is the Go source of a module.
type tree struct {
	module string
	files  []file
}

// file is one Go source file, parsed.
type file struct {
	name    string // path below the module's root
	pkg     string // its folder, "" for the root
	test    bool
	lines   int
	targets map[string]bool // "linux/amd64" → is built there
	tagged  bool            // is not built everywhere
	imports []string
	syntax  *ast.File
	fset    *token.FileSet
}

// at names the place of a node.
func (f file) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(p).Line)
}

// targets are those that the layers are held for; others tells of a file that is
// built for some systems only.
var (
	targets = []string{"linux/amd64", "js/wasm"}
	others  = []string{"windows/amd64", "darwin/arm64"}
)

// load reads the module whose root is fsys. Like the go command it passes over
// testdata, hidden folders, and modules in the module.
func load(fsys fs.FS) (tree, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return tree{}, err
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	t := tree{module: strings.TrimPrefix(first, "module ")}
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(fsys, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		f, err := parse(fsys, name)
		if err != nil {
			return err
		}
		t.files = append(t.files, f)
		return nil
	})
	return t, err
}

// enter says whether the walk goes into a folder.
func enter(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parse(fsys fs.FS, name string) (file, error) {
	source, err := fs.ReadFile(fsys, name)
	if err != nil {
		return file{}, err
	}
	f := file{
		name:    name,
		pkg:     strings.TrimPrefix(path.Dir(name), "."),
		test:    strings.HasSuffix(name, "_test.go"),
		lines:   strings.Count(string(source), "\n"),
		targets: map[string]bool{},
		fset:    token.NewFileSet(),
	}
	f.syntax, err = parser.ParseFile(f.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	for _, group := range f.syntax.Comments {
		for _, comment := range group.List {
			f.tagged = f.tagged || constraint.IsGoBuild(comment.Text) && comment.Pos() < f.syntax.Package
		}
	}
	for _, target := range append(targets, others...) {
		built, err := builds(fsys, name, target)
		if err != nil {
			return file{}, err
		}
		f.targets[target] = built
		f.tagged = f.tagged || !built
	}
	return f, nil
}

// builds reports whether name and build tags let the file into the target.
func builds(fsys fs.FS, name, target string) (bool, error) {
	system := build.Default
	system.GOOS, system.GOARCH, _ = strings.Cut(target, "/")
	system.CgoEnabled = false
	system.JoinPath = path.Join
	system.OpenFile = func(name string) (io.ReadCloser, error) { return fsys.Open(name) }
	return system.MatchFile(path.Dir(name), path.Base(name))
}
