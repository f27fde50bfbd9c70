//go:build js

package indexeddb

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// database is an open database with one object store.
type database struct {
	v     js.Value
	table string
	lost  atomic.Bool // the browser has closed it, or somebody else wants it
	told  js.Func
}

// patience is how long somebody who has a database open is waited for.
const patience = 3 * time.Second

// openDatabase opens a database, of which made is the object store; it makes it if it is not
// there. version 0 is the one that it has. raised says that it had another version before. onLost
// is called by an event handler when the database is to be closed, or was; it must not block.
func openDatabase(name, made string, version int, onLost func()) (d *database, raised bool, err error) {
	request, err := try(func() js.Value {
		if factory := global("indexedDB"); factory.Type() == js.TypeObject {
			if version == 0 {
				return factory.Call("open", name)
			}
			return factory.Call("open", name, version)
		}
		panic(js.Error{Value: js.Global().Get("Error").New("there is no IndexedDB")})
	})
	if err != nil {
		return nil, false, err
	}
	upgrade := js.FuncOf(func(_ js.Value, args []js.Value) any {
		raised = true
		if db := request.Get("result"); db.Get("objectStoreNames").Length() == 0 {
			db.Call("createObjectStore", made)
		}
		return nil
	})
	request.Set("onupgradeneeded", upgrade)
	e := listen(request, "success", "error", "blocked")
	release := func() {
		request.Set("onupgradeneeded", js.Null())
		upgrade.Release()
		e.release()
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case what := <-e.told:
			switch what {
			case "blocked":
				timer.Reset(patience)
				continue
			case "error":
				defer release()
				return nil, false, exceptionOf(request.Get("error"))
			}
			defer release()
			d = &database{v: request.Get("result"), table: made}
			d.watch(onLost)
			if names := d.v.Get("objectStoreNames"); names.Length() != 1 || !names.Call("contains", made).Bool() {
				d.close()
				return nil, false, fmt.Errorf("%w: the database %q has other object stores", types.ErrForeign, name)
			}
			return d, raised, nil
		case <-timer.C:
			go func() { // it may still come
				for what := range e.told {
					if what == "success" {
						request.Get("result").Call("close")
					}
					if what != "blocked" {
						release()
						return
					}
				}
			}()
			return nil, false, types.ErrInUse
		}
	}
}

func (d *database) watch(onLost func()) {
	d.told = js.FuncOf(func(js.Value, []js.Value) any {
		d.lost.Store(true)
		if onLost != nil {
			onLost()
		}
		return nil
	})
	d.v.Set("onversionchange", d.told)
	d.v.Set("onclose", d.told)
}

func (d *database) close() {
	d.v.Set("onversionchange", js.Null())
	d.v.Set("onclose", js.Null())
	d.told.Release()
	d.v.Call("close")
}

// errLost is for a database that the browser has closed, as when the user removes the data
// of the site, or that another tab wants.
var errLost = errors.New("the browser has closed the database, or another tab took it over")

// write runs do in a transaction and returns when it is complete.
func (d *database) write(durability string, do func(table js.Value)) error {
	if d.lost.Load() {
		return errLost
	}
	var e *events
	tx, err := try(func() js.Value {
		tx := d.v.Call("transaction", d.table, "readwrite", map[string]any{"durability": durability})
		e = listen(tx, "complete", "abort")
		do(tx.Call("objectStore", d.table))
		tx.Call("commit")
		return tx
	})
	if err != nil {
		if e != nil { // what do has begun must not become complete
			_, _ = try(func() js.Value { return e.target.Call("abort") })
			e.release()
		}
		return err
	}
	defer e.release()
	if <-e.told == "abort" {
		return exceptionOf(tx.Get("error"))
	}
	return nil
}

// read waits for the request that do makes.
func (d *database) read(do func(table js.Value) js.Value) (js.Value, error) {
	if d.lost.Load() {
		return js.Undefined(), errLost
	}
	return result(func() js.Value {
		return do(d.v.Call("transaction", d.table, "readonly").Call("objectStore", d.table))
	})
}

// deleteDatabase returns when the database is gone, or is going to be as soon as whoever
// reads it has closed it.
func deleteDatabase(name string) error {
	r, err := try(func() js.Value { return js.Global().Get("indexedDB").Call("deleteDatabase", name) })
	if err != nil {
		return err
	}
	e := listen(r, "success", "error", "blocked")
	defer e.release()
	if <-e.told == "error" {
		return exceptionOf(r.Get("error"))
	}
	return nil
}

// databases lists the databases of the origin.
func databases() ([]string, error) {
	factory := global("indexedDB")
	if factory.Type() != js.TypeObject {
		return nil, &exception{"Error", "there is no IndexedDB"}
	}
	list, err := settled(func() js.Value { return factory.Call("databases") })
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list.Length() {
		names = append(names, list.Index(i).Get("name").String())
	}
	return names, nil
}
