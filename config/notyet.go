package config

import (
	"fmt"
	"reflect"
)

// gap is a setting that the configuration knows and this version does not obey
// yet.
type gap struct {
	pattern string
	value   string // only this value is missing; "": all but the default
	def     string // the default, as the complaint names it
}

// gaps lists what is not built yet. Building it takes its line away.
func gaps() []gap {
	return []gap{
		{"connections.*.protocol", "5", "3.1.1"},
	}
}

// notYet complains about everything in c, whose defaults are set, that is set
// to something that is not built yet.
func (p *problems) notYet(c *Config) {
	missing := map[string]gap{}
	for _, g := range gaps() {
		missing[g.pattern] = g
	}
	defaults := map[string]reflect.Value{}
	twin := sample()
	walk(reflect.ValueOf(&twin).Elem(), "", "", func(s setting) { defaults[s.pattern] = s.value })
	walk(reflect.ValueOf(c).Elem(), "", "", func(s setting) {
		g, ok := missing[s.pattern]
		hint := fmt.Sprintf("remove it (the default is %q)", g.def)
		switch {
		case !ok:
		case g.value == "" && !unset(s.value, defaults[s.pattern]):
			p.add(s.path, "not built yet in this version", hint)
		case g.value != "" && g.value == s.text():
			p.add(s.path, g.value+" is not built yet in this version", hint)
		}
	})
}

// unset says whether v is what it is by default.
func unset(v, def reflect.Value) bool {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice {
		return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
	}
	return reflect.DeepEqual(v.Interface(), def.Interface())
}

// sample is the default configuration with one of everything in it.
func sample() Config {
	c := Config{
		MQTT: MQTT{Listeners: make([]Listener, 1), Users: make([]User, 1)},
		Connections: []Connection{{
			Failover: make([]string, 1), Will: &Message{}, Birth: &Message{}, Close: &Message{},
			Forward: make([]Forward, 1), Subscribe: make([]Subscribe, 1),
		}},
	}
	c.setDefaults()
	return c
}
