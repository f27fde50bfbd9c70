package config

import (
	"encoding"
	"fmt"
	"reflect"
	"time"
)

// setting is one value of a configuration at its place.
type setting struct {
	path    string // connections.cloud.forward[0].topic
	pattern string // connections.*.forward[].topic: the same for each connection and entry
	field   Field
	value   reflect.Value // can be set
}

// leaf says whether there is nothing below s.
func (s setting) leaf() bool {
	t := s.value.Type()
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	_, text := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	return text || t.Kind() != reflect.Struct
}

// text is the value as the file has it.
func (s setting) text() string {
	switch v := s.value.Interface().(type) {
	case time.Duration:
		return FormatDuration(v)
	case int64:
		if s.field.Size && v >= 0 {
			return FormatSize(v)
		}
	}
	return fmt.Sprint(s.value.Interface())
}

// walk visits every setting below the struct v, parents before their children.
func walk(v reflect.Value, path, pattern string, visit func(setting)) {
	for _, f := range Fields(v.Type()) {
		if f.Name {
			continue
		}
		key := "." + f.Key
		if path == "" {
			key = f.Key
		}
		s := setting{path + key, pattern + key, f, v.FieldByIndex(f.Index)}
		if f.Tail {
			s.path, s.pattern = s.path+"[1]", s.pattern+"[1]"
		}
		visit(s)
		if !s.leaf() {
			descend(s, visit)
		}
	}
}

// descend visits what is below s: a struct, a pointer to one or a slice of
// them.
func descend(s setting, visit func(setting)) {
	switch s.value.Kind() {
	case reflect.Struct:
		walk(s.value, s.path, s.pattern, visit)
	case reflect.Pointer:
		if !s.value.IsNil() {
			walk(s.value.Elem(), s.path, s.pattern, visit)
		}
	case reflect.Slice:
		for i := range s.value.Len() {
			element := s.value.Index(i)
			path, pattern := fmt.Sprintf("%s[%d]", s.path, i), s.pattern+"[]"
			if name, ok := NameField(element.Type()); ok {
				pattern = s.pattern + ".*"
				if n := element.FieldByIndex(name.Index).String(); n != "" {
					path = s.path + "." + n
				}
			}
			walk(element, path, pattern, visit)
		}
	}
}
