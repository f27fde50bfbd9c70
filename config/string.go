package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// String lists all settings with a value, one per line, as "path: value". It
// holds no secrets.
func (c Config) String() string {
	var b strings.Builder
	walk(reflect.ValueOf(&c).Elem(), "", "", func(s setting) {
		if !s.leaf() || s.value.Kind() == reflect.Slice && s.value.Len() == 0 {
			return
		}
		text := s.text()
		switch {
		case text == "":
			return
		case s.pattern == "connections.*.broker":
			text = (&Connection{Broker: text}).Endpoint()
		case s.pattern == "connections.*.proxy" && strings.Contains(text, "@"):
			text = "(set, with credentials)"
		case s.field.Tail:
			text = fmt.Sprintf("and %d more", s.value.Len())
		case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
			text = strconv.Quote(text)
		}
		fmt.Fprintf(&b, "%s: %s\n", s.path, text)
	})
	return b.String()
}
