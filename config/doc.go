// Package config says what can be configured: plain structs whose zero value
// is the documented default, their validation, and what follows from them
// without any I/O: the routes of a connection, sizes and durations, limits.
//
// The same structs are filled in by Go programs and, by config/yaml, from the
// configuration file. The yaml tags name the key of the file; docs/configuration.md
// explains each. Call SetDefaultsAndValidate before anything reads them.
//
// A field tagged `yaml:"-"` is for Go programs only. The options of a tag tell
// what a field holds where its type does not, see Field.
//
// No file is opened here, and nothing of the operating system is used.
package config
