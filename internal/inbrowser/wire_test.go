package inbrowser

import (
	"io"
	"net"
	"sync"
	"testing"
)

// wire leads to a broker, and can be cut, or silent.
type wire struct {
	listener net.Listener
	broker   string // host:port

	mu     sync.Mutex
	cut    bool
	open   map[net.Conn]bool // of those who came
	served int

	still sync.RWMutex // is held for writing while it is silent
}

func newWire(t *testing.T, broker string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, broker: broker, open: make(map[net.Conn]bool)}
	go w.accept()
	t.Cleanup(func() {
		l.Close()
		w.set(true)
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.serve(conn)
	}
}

func (w *wire) serve(from net.Conn) {
	defer from.Close()
	w.mu.Lock()
	if w.cut {
		w.mu.Unlock()
		return
	}
	w.open[from] = true
	w.served++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, from)
	}()
	to, err := net.Dial("tcp", w.broker)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		w.carry(to, from)
		to.Close()
	}()
	w.carry(from, to)
}

// carry brings bytes from one end to the other.
func (w *wire) carry(to io.Writer, from io.Reader) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		w.still.RLock()
		if n > 0 && err == nil {
			_, err = to.Write(b[:n])
		}
		w.still.RUnlock()
		if err != nil {
			return
		}
	}
}

// silence lets nothing through while it is on; connections stay.
func (w *wire) silence(on bool) {
	if on {
		w.still.Lock()
	} else {
		w.still.Unlock()
	}
}

// set cuts the wire, or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for conn := range w.open {
			conn.Close()
		}
	}
}

// count is how many connections there are, and were.
func (w *wire) count() (open, served int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open), w.served
}
