package arch

import (
	"fmt"
	"strings"
)

// checkImports holds every import of the tree, as the target sees it, against
// the tables, and says what is wrong, a line each.
func checkImports(t tree, target string) []string {
	var wrong []string
	for _, f := range t.files {
		if !f.targets[target] {
			continue
		}
		r, known := rowOf(f.pkg)
		if !known {
			wrong = append(wrong, fmt.Sprintf("%s: package %q is in no row: add it to the table of layers_test.go", f.name, f.pkg))
			continue
		}
		for _, imported := range f.imports {
			if why := refuse(t.module, f, r, imported); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s: imports %s: %s", f.name, imported, why))
			}
		}
	}
	return wrong
}

// refuse says why the file must not import the path; "" lets it.
func refuse(module string, f file, r row, imported string) string {
	if ours, ok := inside(module, imported); ok {
		switch {
		case ours == f.pkg, matchAny(r.imports, ours), f.test && matchAny(r.tests, ours):
			return ""
		}
		return fmt.Sprintf("the layers do not let %q", f.pkg)
	}
	if r.pure && !f.test && matchAny(system, imported) {
		return fmt.Sprintf("%q is pure and knows no operating system", f.pkg)
	}
	o, owned := ownerOf(imported)
	switch {
	case !owned && standard(imported), owned && o.by == nil, matchAny(o.by, f.pkg), f.test && matchAny(o.tests, f.pkg):
		return ""
	case !owned:
		return "no one owns it: add it to the table of owners_test.go"
	}
	return fmt.Sprintf("only %s may", strings.Join(o.by, ", "))
}

// inside gives the path below the module's root of a package of ours.
func inside(module, imported string) (string, bool) {
	if imported == module {
		return "", true
	}
	return strings.CutPrefix(imported, module+"/")
}
