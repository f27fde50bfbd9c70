package config

import (
	"reflect"
	"slices"
	"strings"
)

// Field is one key of a configuration struct, as its yaml tag describes it.
type Field struct {
	Key   string
	Index []int // for reflect.Value.FieldByIndex

	// Options of the tag.
	Name     bool // name: the value is the key of the mapping that the struct stands in
	Path     bool // path: a file or directory, relative to the configuration file
	Size     bool // size: a number of bytes
	Positive bool // positive: 0 is not allowed (and not the default)
	None     bool // none: 0 in the file is None in Go
	Tail     bool // tail: the second and later elements of a list whose first is the field before
}

// Fields lists the keys of the struct type t, in their order, without those
// that are for Go programs only.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		key, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		options := strings.Split(rest, ",")
		has := func(option string) bool { return slices.Contains(options, option) }
		switch {
		case key == "-":
		case has("inline"):
			for _, inner := range Fields(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				fields = append(fields, inner)
			}
		default:
			fields = append(fields, Field{
				Key: key, Index: []int{i},
				Name: has("name"), Path: has("path"), Size: has("size"),
				Positive: has("positive"), None: has("none"), Tail: has("tail"),
			})
		}
	}
	return fields
}

// NameField returns the field that holds the name of a t, if t is a struct
// that stands in a mapping from name to struct.
func NameField(t reflect.Type) (Field, bool) {
	if t.Kind() == reflect.Struct {
		for _, f := range Fields(t) {
			if f.Name {
				return f, true
			}
		}
	}
	return Field{}, false
}
