//go:build js

package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
)

// Opener opens the runtime that a page asks for, with one connection, of that name.
type Opener func(ctx context.Context, s Settings, login Login) (*runtime.Runtime, error)

// Login asks the pages how to greet the broker.
type Login func(ctx context.Context) (username string, password config.Secret, err error)

// host is the Worker: an object with the functions
//
//	ready(engine)         the program runs; engine is what it offers, see Serve
//	send(page, frame)     brings a frame to a page
//	credentials()         → Promise of [username, password]
//	broken(text)          a bug: the Worker is to be restarted
type host struct{ js.Value }

// Serve offers an engine to the Worker whose object is host, and does not return. The
// engine has the functions
//
//	open(settings)        JSON → Promise of null, or of a Failure as JSON
//	handle(page, frame)   → null, or a text that says why the frame is none
//	detach(page)
//	redial()
//	close(ms)             → Promise of null, or of a Failure as JSON
//
// A panic in one of them is told as broken, and does not end the program by itself.
func Serve(worker js.Value, open Opener) {
	h := host{worker}
	var engine atomic.Pointer[Engine]
	offer := func(f func(args []js.Value) any) js.Func { return js.FuncOf(h.guard(f)) }
	h.Call("ready", map[string]any{
		"open": offer(func(args []js.Value) any {
			text := []byte(args[0].String())
			return h.promise(func() error {
				e, err := h.open(text, open)
				if err == nil && !engine.CompareAndSwap(nil, e) {
					err = errors.Join(errors.New("an engine is open already"), e.Close(context.Background()))
				}
				return err
			})
		}),
		"handle": offer(func(args []js.Value) any {
			e := engine.Load()
			if e == nil {
				return "no engine is open"
			}
			frame := make([]byte, args[1].Length())
			js.CopyBytesToGo(frame, args[1])
			if err := e.Handle(args[0].String(), frame); err != nil {
				return err.Error()
			}
			return nil
		}),
		"detach": offer(func(args []js.Value) any {
			if e := engine.Load(); e != nil {
				e.Detach(args[0].String())
			}
			return nil
		}),
		"redial": offer(func([]js.Value) any {
			if e := engine.Load(); e != nil {
				e.Redial()
			}
			return nil
		}),
		"close": offer(func(args []js.Value) any {
			within := time.Duration(args[0].Int()) * time.Millisecond
			return h.promise(func() error {
				e := engine.Swap(nil)
				if e == nil {
					return nil
				}
				ctx, cancel := context.WithTimeout(context.Background(), within)
				defer cancel()
				return e.Close(ctx)
			})
		}),
	})
	select {}
}

// open opens what the settings ask for.
func (h host) open(text []byte, open Opener) (*Engine, error) {
	s, err := ReadSettings(text)
	if err != nil {
		return nil, err
	}
	rt, err := open(context.Background(), s, h.login)
	if err != nil {
		return nil, err
	}
	return New(rt, s.Name, h.send)
}

// guard keeps a panic of f from ending the program while JavaScript waits for it.
func (h host) guard(f func(args []js.Value) any) func(js.Value, []js.Value) any {
	return func(_ js.Value, args []js.Value) (result any) {
		defer func() {
			if r := recover(); r != nil {
				h.Call("broken", fmt.Sprint(r))
				result = fmt.Sprint(r)
			}
		}()
		return f(args)
	}
}

// promise is what do comes to: null, or a Failure as JSON.
func (h host) promise(do func() error) js.Value {
	var executor js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve := args[0]
		go func() {
			defer executor.Release()
			defer func() {
				if r := recover(); r != nil {
					h.Call("broken", fmt.Sprint(r))
				}
			}()
			if err := do(); err != nil {
				resolve.Invoke(string(FailureOf(err).json()))
			} else {
				resolve.Invoke(js.Null())
			}
		}()
		return nil
	})
	return js.Global().Get("Promise").New(executor)
}

// send brings a frame to a page.
func (h host) send(page string, frame []byte) {
	array := js.Global().Get("Uint8Array").New(len(frame))
	js.CopyBytesToJS(array, frame)
	h.Call("send", page, array)
}

// login asks the pages how to greet the broker.
func (h host) login(ctx context.Context) (string, config.Secret, error) {
	type answer struct {
		pair js.Value
		err  error
	}
	answered := make(chan answer, 1)
	done := js.FuncOf(func(_ js.Value, args []js.Value) any {
		answered <- answer{pair: args[0]}
		return nil
	})
	failed := js.FuncOf(func(_ js.Value, args []js.Value) any {
		answered <- answer{err: errors.New(js.Global().Get("String").Invoke(args[0]).String())}
		return nil
	})
	var a answer
	h.Call("credentials").Call("then", done, failed)
	select {
	case a = <-answered:
		done.Release()
		failed.Release()
	case <-ctx.Done():
		go func() { // it may still be answered
			<-answered
			done.Release()
			failed.Release()
		}()
		return "", "", fmt.Errorf("the page does not say how to greet the broker: %w", ctx.Err())
	}
	if a.err != nil {
		return "", "", a.err
	}
	text := func(i int) string {
		if v := a.pair.Index(i); v.Type() == js.TypeString {
			return v.String()
		}
		return ""
	}
	return text(0), config.Secret(text(1)), nil
}
