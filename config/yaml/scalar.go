package yaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/mqttdb/mqttdb/config"
)

// scalarText returns the text of a scalar as it stands in the file, so that
// the version 3.10 is not the number 3.1.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// scalar decodes n into v.
func (d *decoder) scalar(path string, n ast.Node, v reflect.Value, f config.Field) {
	at := d.nodePlace(path, n)
	written, ok := scalarText(n)
	if !ok {
		d.mistake(at, path, "must be a single value", "")
		return
	}
	d.places[path] = at
	text, err := expand(written, d.env)
	if err != nil {
		d.mistake(at, path, err.Error(), "")
		return
	}
	if text == "" {
		return // as if it were not there
	}
	if err := set(v, text, f); err != nil { // says it with what is written: a variable may hold a secret
		d.mistake(at, path, fmt.Sprintf("%.60q: %v", written, err), "")
	}
}

// set stores what text says in v.
func set(v reflect.Value, text string, f config.Field) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("must be true or false")
		}
		v.SetBool(text == "true")
	case reflect.Uint8:
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return errors.New("must be a whole number")
		}
		v.SetUint(n)
	default:
		n, err := number(v, text, f)
		switch {
		case err != nil:
			return err
		case n == 0 && f.Positive:
			return errors.New("must be more than 0")
		case n == 0 && f.None:
			n = config.None
		}
		v.SetInt(n)
	}
	return nil
}

// number reads a duration, a size or a plain number, as v is one.
func number(v reflect.Value, text string, f config.Field) (int64, error) {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d, err := config.ParseDuration(text)
		return int64(d), err
	case f.Size:
		return config.ParseSize(text)
	}
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return 0, errors.New("must be a whole number")
	}
	return n, nil
}
