package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Engine serves the pages that use one connection. Its methods may be called
// concurrently and never wait, but for Close.
type Engine struct {
	runtime *runtime.Runtime
	conn    *runtime.Connection
	send    func(page string, frame []byte)
	context context.Context // ends with it
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu    sync.Mutex
	over  bool
	pages map[string]*page
	lines lines
}

// New returns an Engine for the named connection of rt. send brings a frame to a page;
// it must not block, and does not get the frame for its own.
func New(rt *runtime.Runtime, connection string, send func(page string, frame []byte)) (*Engine, error) {
	conn := rt.Connection(connection)
	if conn == nil {
		return nil, fmt.Errorf("%s: %w", connection, types.ErrUnknownConnection)
	}
	e := &Engine{runtime: rt, conn: conn, send: send, pages: make(map[string]*page)}
	e.lines.init()
	e.context, e.cancel = context.WithCancel(context.Background())
	e.work.Go(e.watch)
	return e, nil
}

// Handle takes a frame of a page, and keeps it. What one page says is done in that
// order. A frame that is none is an error, which is to end the page's use of e.
func (e *Engine) Handle(name string, frame []byte) error {
	p := e.page(name)
	if p == nil {
		return types.ErrClosed
	}
	return readFrame(frame, p.take)
}

// page is the named page, which is here from now on; nil if e is closed.
func (e *Engine) page(name string) *page {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return nil
	}
	p := e.pages[name]
	if p == nil {
		p = newPage(e, name)
		e.pages[name] = p
		e.work.Go(p.run)
	}
	return p
}

// Detach ends what a page has: its subscriptions are free for others.
func (e *Engine) Detach(name string) {
	e.mu.Lock()
	p := e.pages[name]
	delete(e.pages, name)
	e.mu.Unlock()
	if p != nil {
		p.cancel()
	}
}

// Redial tries to reach the broker now: the network may be another one.
func (e *Engine) Redial() { _ = e.conn.Redial() }

// Close ends e, lets what is in flight finish as long as ctx allows, and closes the
// runtime.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
	e.cancel()
	err := e.runtime.Close(ctx)
	e.work.Wait()
	return err
}

// watch tells all pages the status, now and after changes.
func (e *Engine) watch() {
	for list := range e.runtime.Watch(e.context) {
		body, err := json.Marshal(list)
		if err != nil {
			continue // a status is plain data
		}
		frame := appendRecord(nil, statusKind, 0, body)
		for _, name := range e.names() {
			e.send(name, frame)
		}
	}
}

func (e *Engine) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]string, 0, len(e.pages))
	for name := range e.pages {
		list = append(list, name)
	}
	return list
}
