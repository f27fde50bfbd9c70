//go:build js

package indexeddb

import (
	"fmt"
	"syscall/js"
)

// exception is what JavaScript threw, or an event told.
type exception struct{ name, message string }

func (e *exception) Error() string {
	if e.message == "" {
		return e.name
	}
	return e.name + ": " + e.message
}

func exceptionOf(v js.Value) error {
	if v.Type() != js.TypeObject {
		return &exception{"AbortError", "the browser gave no reason"}
	}
	text := func(name string) string {
		if s := v.Get(name); s.Type() == js.TypeString {
			return s.String()
		}
		return ""
	}
	return &exception{text("name"), text("message")}
}

// try returns what do throws as an error.
func try(do func() js.Value) (v js.Value, err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case js.Error:
			err = exceptionOf(thrown.Value)
		default:
			panic(thrown)
		}
	}()
	return do(), nil
}

// events are those of one target, in their order.
type events struct {
	target js.Value
	names  []string
	told   chan string
	f      js.Func
}

// listen has to be called before anything can have happened to the target. The events
// must be released.
func listen(target js.Value, names ...string) *events {
	e := &events{target: target, names: names, told: make(chan string, 8)}
	e.f = js.FuncOf(func(_ js.Value, args []js.Value) any {
		select {
		case e.told <- args[0].Get("type").String():
		default: // nobody waits for so many
		}
		return nil
	})
	for _, name := range names {
		target.Set("on"+name, e.f)
	}
	return e
}

func (e *events) release() {
	for _, name := range e.names {
		e.target.Set("on"+name, js.Null())
	}
	e.f.Release()
}

// result waits for a request.
func result(start func() js.Value) (js.Value, error) {
	r, err := try(start)
	if err != nil {
		return r, err
	}
	e := listen(r, "success", "error")
	defer e.release()
	if <-e.told == "error" {
		return js.Undefined(), exceptionOf(r.Get("error"))
	}
	return r.Get("result"), nil
}

// settled waits for a Promise.
func settled(start func() js.Value) (js.Value, error) {
	p, err := try(start)
	if err != nil {
		return p, err
	}
	type answer struct {
		v   js.Value
		err error
	}
	answered := make(chan answer, 1)
	done := js.FuncOf(func(_ js.Value, args []js.Value) any {
		answered <- answer{v: first(args)}
		return nil
	})
	defer done.Release()
	failed := js.FuncOf(func(_ js.Value, args []js.Value) any {
		answered <- answer{err: exceptionOf(first(args))}
		return nil
	})
	defer failed.Release()
	p.Call("then", done, failed)
	a := <-answered
	return a.v, a.err
}

func first(args []js.Value) js.Value {
	if len(args) == 0 {
		return js.Undefined()
	}
	return args[0]
}

// global returns a property of the global object, or of one of its properties; reading some
// of them throws where storage is blocked.
func global(names ...string) js.Value {
	v := js.Global()
	reflect := v.Get("Reflect")
	for _, name := range names {
		if v.Type() != js.TypeObject && v.Type() != js.TypeFunction {
			return js.Undefined()
		}
		at := v
		got, err := try(func() js.Value { return reflect.Call("get", at, name) })
		if err != nil {
			return js.Undefined()
		}
		v = got
	}
	return v
}

// toJS copies bytes.
func toJS(b []byte) js.Value {
	array := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(array, b)
	return array
}

// toGo copies a Uint8Array, or an ArrayBuffer.
func toGo(v js.Value) ([]byte, error) {
	array := js.Global().Get("Uint8Array")
	if v.Type() == js.TypeObject && v.InstanceOf(js.Global().Get("ArrayBuffer")) {
		v = array.New(v)
	}
	if v.Type() != js.TypeObject || !v.InstanceOf(array) {
		return nil, fmt.Errorf("not bytes, but %s", v.Type())
	}
	b := make([]byte, v.Length())
	js.CopyBytesToGo(b, v)
	return b, nil
}
