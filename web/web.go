// Package web is the status page: plain HTML, CSS and ES modules, embedded, without a
// build step. It needs GET /api/stream, the requests of package httpapi and nothing
// from elsewhere; where its data comes from is known to static/source.js alone.
package web

import (
	"embed"
	"io/fs"
)

// ContentSecurityPolicy is what the page gets along with: scripts, styles and data of
// its own origin, and no inline ones.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed static
var embedded embed.FS

// Files returns the files of the page, with index.html at the root. They never change.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the name is valid and constant
	}
	return files
}
