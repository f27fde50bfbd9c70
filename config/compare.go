package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// Change is a setting that differs between two configurations.
type Change struct {
	Connection string // whose setting it is; "" for one of none
	Path       string // connections.cloud.forward[0].topic
	Pattern    string // connections.*.forward[].topic: the same for each connection and entry
}

// Compare lists the settings in which two configurations, whose defaults are
// set, differ, in the order of their paths: also those that only one of them
// has. Connections and users count by their names, in whatever order they are.
// Of two functions (Connection.Credentials) it cannot know whether they differ:
// it tells if only one is there.
func Compare(old, new *Config) []Change {
	before, after := old.settings(), new.settings()
	var changes []Change
	for change, value := range before {
		if other, ok := after[change]; !ok || differ(value, other) {
			changes = append(changes, change)
		}
	}
	for change := range after {
		if _, ok := before[change]; !ok {
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return changes
}

// Paths lists the paths of changes, each once and in order: those of a user as the
// one of the user, and those of the connections in without not at all.
func Paths(changes []Change, without ...string) []string {
	const user = "mqtt.users.*"
	paths := []string{}
	for _, c := range changes {
		if c.Connection != "" && slices.Contains(without, c.Connection) {
			continue
		}
		path := c.Path
		if rest, ok := strings.CutPrefix(c.Pattern, user); ok {
			path = strings.TrimSuffix(path, rest)
		}
		if last := len(paths) - 1; last >= 0 && Within(path, paths[last]) && !Within(paths[last], path) {
			paths = paths[:last] // a list that is new, and what is in it
		}
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// settings are all settings of c, with those that only Go programs can make.
func (c *Config) settings() map[Change]reflect.Value {
	all := make(map[Change]reflect.Value)
	note := func(connection string) func(setting) {
		return func(s setting) {
			if s.leaf() || s.value.Kind() == reflect.Slice { // of a list of structs, that there is one
				all[Change{connection, s.path, s.pattern}] = s.value
			}
		}
	}
	rest := *c
	rest.Connections = nil
	walk(reflect.ValueOf(&rest).Elem(), "", "", note(""))
	for i := range c.Connections {
		conn, path, pattern := &c.Connections[i], connectionPath(c.Connections, i), "connections.*"
		walk(reflect.ValueOf(conn).Elem(), path, pattern, note(conn.Name))
		all[Change{conn.Name, path + ".password", pattern + ".password"}] = reflect.ValueOf(conn.Password)
		all[Change{conn.Name, path + ".credentials", pattern + ".credentials"}] = reflect.ValueOf(conn.Credentials != nil)
	}
	return all
}

// differ compares what has the same place. Of a list of structs it compares
// whether there is one at all: its elements have places of their own.
func differ(a, b reflect.Value) bool {
	if (setting{value: a}).leaf() {
		return !reflect.DeepEqual(a.Interface(), b.Interface())
	}
	return a.IsNil() != b.IsNil()
}
