package config

import "reflect"

// Key describes one key of the configuration file.
type Key struct {
	Path    string // connections.*.forward[].topic
	Default string // as the file has it; "" for none
}

// Keys lists all keys that have a value of their own, in the order of the
// structs, for what has to name each of them: documentation and its tests.
func Keys() []Key {
	var keys []Key
	all := sample()
	walk(reflect.ValueOf(&all).Elem(), "", "", func(s setting) {
		if !s.leaf() || s.field.Tail {
			return
		}
		k := Key{Path: s.pattern}
		if !s.value.IsZero() || s.value.Kind() != reflect.String && s.value.Kind() != reflect.Slice {
			k.Default = s.text()
		}
		keys = append(keys, k)
	})
	return keys
}

// NotYet lists the keys, or with what follows the sign = the values, that this
// version refuses because they are not built yet.
func NotYet() []string {
	var list []string
	for _, g := range gaps() {
		if g.value != "" {
			g.pattern += "=" + g.value
		}
		list = append(list, g.pattern)
	}
	return list
}
