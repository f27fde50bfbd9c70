package yaml

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/mqttdb/mqttdb/config"
)

// Error is a mistake at a place in a file.
type Error struct {
	File         string
	Line, Column int // from 1; columns count characters
	Err          *config.Error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// place is where something stands in the file.
type place struct{ line, column int }

func compare(a, b place) int {
	return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
}

// place returns where the setting at path stands, or else the nearest one
// above it.
func (d *decoder) place(path string) place {
	for {
		if p, ok := d.places[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// mistake reports what is wrong with the setting at path.
func (d *decoder) mistake(at place, path, msg, hint string) {
	d.mistakes = append(d.mistakes, &Error{Line: at.line, Column: at.column, Err: &config.Error{Path: path, Msg: msg, Hint: hint}})
	d.failed = append(d.failed, path)
}

// wrong says whether a mistake was reported at path or above it, so that what
// validation says of it is only a consequence.
func (d *decoder) wrong(path string) bool {
	for _, f := range d.failed {
		if config.Within(path, f) {
			return true
		}
	}
	return false
}
