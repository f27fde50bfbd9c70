package yaml

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/mqttdb/mqttdb/config"
)

// decoder fills configuration structs from the parsed file, and goes on after
// a mistake.
type decoder struct {
	env      func(string) (string, bool)
	places   map[string]place // of every setting in the file
	mistakes []*Error
	failed   []string // paths of the mistakes
}

// pair is a key and its value in the file.
type pair struct {
	key   string
	at    place // of the key
	value ast.Node
}

// pairs returns what the mapping n holds, without keys that were there before.
func (d *decoder) pairs(path string, n ast.Node) []pair {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.mistake(d.nodePlace(path, n), path, "must be a mapping of keys to values", "")
		return nil
	}
	var all []pair
	first := map[string]int{}
	for _, v := range values {
		p := pair{printable(v.Key.GetToken().Value), placeOf(v.Key.GetToken()), v.Value}
		if line, ok := first[p.key]; ok {
			msg := fmt.Sprintf("the key is there twice, first in line %d", line)
			d.mistakes = append(d.mistakes, &Error{Line: p.at.line, Column: p.at.column, Err: &config.Error{Path: join(path, p.key), Msg: msg}})
			continue
		}
		first[p.key] = p.at.line
		all = append(all, p)
	}
	return all
}

// printable keeps what is not to be printed, and what is endless, out of
// messages; no key that is known is changed by it.
func printable(key string) string {
	if len(key) > 100 || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%.60q", key)
	}
	return key
}

// fields decodes the mapping n into the struct v.
func (d *decoder) fields(path string, n ast.Node, v reflect.Value) {
	known := map[string]config.Field{}
	tails := map[string]config.Field{}
	var keys []string
	for _, f := range config.Fields(v.Type()) {
		switch {
		case f.Tail:
			tails[f.Key] = f
		case !f.Name:
			known[f.Key] = f
			keys = append(keys, f.Key)
		}
	}
	for _, p := range d.pairs(path, n) {
		at := join(path, p.key)
		f, ok := known[p.key]
		if !ok {
			d.unknown(at, path, p, keys)
			continue
		}
		d.places[at] = p.at
		if tail, ok := tails[p.key]; ok {
			if list, ok := p.value.(*ast.SequenceNode); ok {
				d.list(at, list, v.FieldByIndex(f.Index), v.FieldByIndex(tail.Index))
				continue
			}
		}
		d.value(at, p.value, v.FieldByIndex(f.Index), f)
	}
}

// unknown reports a key that is not known. What it was probably meant to be
// counts as set, so that nobody complains that it is missing.
func (d *decoder) unknown(at, path string, p pair, keys []string) {
	hint := ""
	if k := suggest(p.key, keys); k != "" {
		hint = fmt.Sprintf("did you mean %q?", k)
		d.failed = append(d.failed, join(path, k))
	}
	d.mistake(p.at, at, "unknown key", hint)
}

// list decodes a list whose first element has a field of its own.
func (d *decoder) list(path string, n *ast.SequenceNode, head, tail reflect.Value) {
	for i, e := range n.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = d.nodePlace(path, e)
		if i == 0 {
			d.value(at, e, head, config.Field{})
			continue
		}
		next := reflect.New(head.Type()).Elem()
		d.value(at, e, next, config.Field{})
		tail.Set(reflect.Append(tail, next))
	}
}

// value decodes n into v. An empty value leaves the default.
func (d *decoder) value(path string, n ast.Node, v reflect.Value, f config.Field) {
	if n == nil || n.Type() == ast.NullType {
		return
	}
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch kind := v.Kind(); {
	case text:
		d.scalar(path, n, v, f)
	case kind == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem(), f)
	case kind == reflect.Struct:
		d.fields(path, n, v)
	case kind == reflect.Slice:
		if name, ok := config.NameField(v.Type().Elem()); ok {
			d.named(path, n, v, name)
		} else {
			d.elements(path, n, v)
		}
	default:
		d.scalar(path, n, v, f)
	}
}

// named decodes a mapping from name to struct into the slice v, in the order
// of the file.
func (d *decoder) named(path string, n ast.Node, v reflect.Value, name config.Field) {
	for _, p := range d.pairs(path, n) {
		at := join(path, p.key)
		d.places[at] = p.at
		element := reflect.New(v.Type().Elem()).Elem()
		element.FieldByIndex(name.Index).SetString(p.key)
		d.value(at, p.value, element, config.Field{})
		v.Set(reflect.Append(v, element))
	}
}

// elements decodes a list into the slice v; a single text is a list of one.
func (d *decoder) elements(path string, n ast.Node, v reflect.Value) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, scalar := scalarText(n); !scalar || v.Type().Elem().Kind() != reflect.String {
			d.mistake(d.nodePlace(path, n), path, "must be a list", "begin each entry with a dash")
			return
		}
		list = &ast.SequenceNode{Values: []ast.Node{n}}
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(list.Values)))
	for i, e := range list.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = d.nodePlace(path, e)
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(at, e, element, config.Field{})
		v.Set(reflect.Append(v, element))
	}
}

// nodePlace is where n begins. A mapping's own token is the colon behind its
// first key.
func (d *decoder) nodePlace(path string, n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOf(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key.GetToken())
	}
	if t := n.GetToken(); t != nil {
		return placeOf(t)
	}
	return d.place(path)
}

func join(path, key string) string {
	return strings.TrimPrefix(path+"."+key, ".")
}
