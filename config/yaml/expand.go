package yaml

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME} and ${NAME:-text} in s by what env says, and $$ by
// $. What it puts in is not looked at again.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after, ok := strings.CutPrefix(rest, "$"); ok {
			b.WriteByte('$')
			s = after
			continue
		}
		inner, ok := strings.CutPrefix(rest, "{")
		if !ok { // a topic like $SYS/#
			b.WriteByte('$')
			s = rest
			continue
		}
		inner, s, ok = strings.Cut(inner, "}")
		if !ok {
			return "", errors.New("${ has no }; write $${ if that is meant")
		}
		name, fallback, hasFallback := strings.Cut(inner, ":-")
		if !validVariable(name) {
			return "", fmt.Errorf("%.60q does not name a variable; write $${ if that is meant", "${"+name+"}")
		}
		value, set := env(name)
		switch {
		case hasFallback && value == "":
			value = fallback
		case !set:
			return "", fmt.Errorf("${%s} is not set in the environment; set it, or write ${%s:-default}", name, name)
		}
		b.WriteString(value)
	}
}

func validVariable(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
