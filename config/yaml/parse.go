// Package yaml reads the configuration file: YAML whose every mistake is
// reported with its place in the file.
//
// It takes one document without anchors, aliases, tags and merge keys, so that
// what is written is what is meant and no file can grow while it is read.
package yaml

import (
	"errors"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/mqttdb/mqttdb/config"
)

// Parse reads data, the contents of the file called name, and returns the
// configuration with its defaults set. In every value ${NAME} stands for what
// env says of NAME, ${NAME:-text} for text if it is not set or empty, and $$ for
// $; a nil env knows no names. Relative paths are left as they are, see
// config.Config.ResolvePaths.
//
// The error joins all mistakes, each an *Error, in the order of the lines.
func Parse(name string, data []byte, env func(string) (string, bool)) (config.Config, error) {
	body, mistake := read(data)
	if mistake != nil {
		mistake.File = name
		return config.Config{}, mistake
	}
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	var c config.Config
	d := decoder{env: env, places: map[string]place{"": {1, 1}}}
	if body != nil && body.Type() != ast.NullType {
		d.fields("", body, reflect.ValueOf(&c).Elem())
	}
	for _, e := range config.Errors(c.SetDefaultsAndValidate()) {
		if !d.wrong(e.Path) {
			d.mistakes = append(d.mistakes, &Error{Line: d.place(e.Path).line, Column: d.place(e.Path).column, Err: e})
		}
	}
	slices.SortStableFunc(d.mistakes, func(a, b *Error) int {
		return compare(place{a.Line, a.Column}, place{b.Line, b.Column})
	})
	if len(d.mistakes) == 0 {
		return c, nil
	}
	errs := make([]error, len(d.mistakes))
	for i, e := range d.mistakes {
		e.File = name
		errs[i] = e
	}
	return config.Config{}, errors.Join(errs...)
}
