// Package docs holds those parts of the documentation that programs use, too.
package docs

import _ "embed"

//go:embed configuration.md
var configuration string

// Configuration is the reference of the configuration, in Markdown: each key has
// a row of a table, with its meaning and its default.
func Configuration() string { return configuration }
