package config

import "reflect"

// ResolvePaths replaces every file and directory that c names by what resolve
// makes of it, to be called once with the directory of the configuration file
// in mind. Empty ones stay empty.
func (c *Config) ResolvePaths(resolve func(string) string) {
	c.setDefaults() // DataDir too is relative, and copies are made
	walk(reflect.ValueOf(c).Elem(), "", "", func(s setting) {
		if s.field.Path && s.value.String() != "" {
			s.value.SetString(resolve(s.value.String()))
		}
	})
}
