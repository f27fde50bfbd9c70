//go:build js

package indexeddb

import (
	"sync"
	"syscall/js"

	"github.com/mqttdb/mqttdb/types"
)

// takeLock takes the Web Lock of that name. Where an origin has no locks, as one of plain
// http has none, there is nothing to take. release gives it back, and waits until others
// can have it; it may be called more than once.
func takeLock(name string) (release func(), err error) {
	locks := global("navigator", "locks")
	if locks.Type() != js.TypeObject {
		return func() {}, nil
	}
	granted := make(chan bool, 1)
	var let js.Value // resolves the Promise that holds the lock
	executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
		let = args[0]
		return nil
	})
	held := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if args[0].IsNull() {
			granted <- false
			return nil
		}
		p := js.Global().Get("Promise").New(executor)
		granted <- true
		return p
	})
	over := make(chan error, 1)
	ended := js.FuncOf(func(js.Value, []js.Value) any {
		over <- nil
		return nil
	})
	refused := js.FuncOf(func(_ js.Value, args []js.Value) any {
		over <- exceptionOf(first(args))
		return nil
	})
	forget := func() {
		for _, f := range []js.Func{held, executor, ended, refused} {
			f.Release()
		}
	}
	_, err = try(func() js.Value {
		return locks.Call("request", name, map[string]any{"ifAvailable": true}, held).Call("then", ended, refused)
	})
	if err != nil {
		forget()
		return nil, err
	}
	select {
	case ok := <-granted:
		if ok {
			return sync.OnceFunc(func() {
				let.Invoke()
				<-over
				forget()
			}), nil
		}
		<-over
		forget()
		return nil, types.ErrInUse
	case err := <-over:
		forget()
		return nil, err
	}
}
