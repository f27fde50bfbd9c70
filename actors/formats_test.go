package actors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Every mark that is stored is described where the formats are.
func TestMarksAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{".", "../runtime"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for mark := range marksIn(file) {
				found++
				if !strings.Contains(string(text), "`"+mark) {
					t.Errorf("%s: the mark %q is not in docs/formats.md", name, mark)
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d marks were found: are their constants not named so any more?", found)
	}
}

// marksIn yields the constants of a file whose names say that they are keys of marks.
func marksIn(file *ast.File) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, d := range file.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, s := range group.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					if !strings.HasPrefix(name.Name, "mark") && !strings.HasSuffix(name.Name, "Mark") || i >= len(v.Values) {
						continue
					}
					if value, ok := v.Values[i].(*ast.BasicLit); ok && value.Kind == token.STRING {
						if mark, err := strconv.Unquote(value.Value); err == nil && !yield(mark) {
							return
						}
					}
				}
			}
		}
	}
}
