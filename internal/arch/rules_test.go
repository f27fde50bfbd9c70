package arch

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
)

const maxLines = 600

var (
	// vague names say nothing about what a package is.
	vague = []string{"util", "utils", "common", "helper", "helpers", "manager", "misc"}

	// tags lists where a file may be built for some systems only.
	tags = only("", "wasm/...", "cmd/...", "persistence/nutsdb", "broker/dial", "httpapi", "sidecar", "listener", "internal/...", "bench/...")

	unfinished = regexp.MustCompile(`\b(TODO|FIXME)\b`)
)

// checkSource holds the rules on the text of the tree, whatever the target, and
// says what is wrong, a line each.
func checkSource(t tree) []string {
	var wrong []string
	for _, f := range t.files {
		if f.lines > maxLines {
			wrong = append(wrong, fmt.Sprintf("%s: %d lines; look for a seam, %d is the limit", f.name, f.lines, maxLines))
		}
		for _, name := range []string{f.syntax.Name.Name, path.Base(f.pkg)} {
			if slices.Contains(vague, name) {
				wrong = append(wrong, fmt.Sprintf("%s: a package named %s says nothing", f.name, name))
				break
			}
		}
		if f.tagged && !f.test && !matchAny(tags, f.pkg) {
			wrong = append(wrong, fmt.Sprintf("%s: is built for some systems only, which the command that wires decides", f.name))
		}
		wrong = append(wrong, checkSyntax(f)...)
	}
	return wrong
}

func checkSyntax(f file) []string {
	var wrong []string
	for _, group := range f.syntax.Comments {
		for _, comment := range group.List {
			if word := unfinished.FindString(comment.Text); word != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s: do it, or write an issue", f.at(comment.Pos()), word))
			}
		}
	}
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			if node.Recv == nil && node.Name.Name == "init" {
				wrong = append(wrong, fmt.Sprintf("%s: an init function acts behind the caller's back", f.at(node.Pos())))
			}
		case *ast.CallExpr:
			// Within its bubble a sleep moves a fake clock and waits for nothing.
			return !names(node.Fun, "synctest", "Test")
		case *ast.SelectorExpr:
			if f.test && names(node, "time", "Sleep") {
				wrong = append(wrong, fmt.Sprintf("%s: a test waits for the event and does not sleep", f.at(node.Pos())))
			}
		}
		return true
	})
	return wrong
}

// names reports whether the expression is name of package pkg.
func names(expr ast.Expr, pkg, name string) bool {
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg && selector.Sel.Name == name
}
