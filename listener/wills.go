package listener

import (
	"container/heap"
	"sync"
	"time"
)

// How many wills may wait, and how much memory those may take, in bytes. Beyond
// that one is published at once.
const (
	maxWills     = 10_000
	maxWillBytes = 16 << 20
)

// wills are those of clients that have gone and may come back: one is published
// when its delay has passed or the session ends, and not at all if its client
// comes back to the session before that [MQTT5-3.1.3.2.2]. They are in memory
// only: a server that is closed publishes them, and one that is killed does not.
// The zero value is empty. The methods may be called concurrently.
type wills struct {
	mu     sync.Mutex
	byKey  map[string]*lateWill // of the session
	due    dueWills             // of them, those whose client has nothing else to be stored
	bytes  int
	closed bool
	wake   chan struct{} // 1 deep: what is due first has changed
}

// lateWill is a will that waits.
type lateWill struct {
	will
	key   string
	at    time.Time     // when it is due
	place int           // in due; -1: it is not there
	gone  chan struct{} // closed when it was published
	leaves,
	cancelled bool
}

func newWills() wills { return wills{byKey: map[string]*lateWill{}, wake: make(chan struct{}, 1)} }

func (l *lateWill) size() int { return l.message.Size() + len(l.key) }

// hold keeps a will for a while, and returns it; nil: there is no room. It is not
// published before release.
func (w *wills) hold(key string, one will, delay time.Duration) *lateWill {
	l := &lateWill{will: one, key: key, at: time.Now().Add(delay), place: -1, gone: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.byKey) >= maxWills || w.bytes+l.size() > maxWillBytes {
		return nil
	}
	w.byKey[key] = l
	w.bytes += l.size()
	return l
}

// release says that everything is stored that came before a will. If it returns
// true the caller is to publish it at once.
func (w *wills) release(l *lateWill) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.cancelled {
		return false
	}
	if w.closed || !l.at.After(time.Now()) {
		l.leaves = true
		return true
	}
	heap.Push(&w.due, l)
	w.rouse(l)
	return false
}

// returned is for a client that has connected again: to its session, so that the
// will is forgotten, or with a clean one, so that it is due. What it returns is
// closed when the will was published; nil: nothing is to be waited for, but for
// the client's earlier connection.
func (w *wills) returned(key string, clean bool) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.byKey[key]
	switch {
	case l == nil:
		return nil
	case l.leaves:
		return l.gone
	case !clean:
		l.cancelled = true
		w.forget(l)
		return nil
	}
	l.at = time.Time{}
	if l.place < 0 {
		return nil // release comes, before the earlier connection has ended
	}
	heap.Fix(&w.due, l.place)
	w.rouse(l)
	return l.gone
}

// next takes those that are due, all if the server is closing, and says how long
// it takes until the next one is.
func (w *wills) next(closing bool) (list []*lateWill, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = w.closed || closing
	now := time.Now()
	for len(w.due) > 0 {
		l := w.due[0]
		if wait = l.at.Sub(now); wait > 0 && !w.closed {
			return list, wait
		}
		heap.Pop(&w.due)
		l.leaves = true
		list = append(list, l)
	}
	return list, -1
}

// published forgets wills that were published.
func (w *wills) published(list []*lateWill) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range list {
		w.forget(l)
		close(l.gone)
	}
}

// forget removes l. The lock is held.
func (w *wills) forget(l *lateWill) {
	if l.place >= 0 {
		heap.Remove(&w.due, l.place)
	}
	w.bytes -= l.size()
	if w.byKey[l.key] == l { // a later one may have its place
		delete(w.byKey, l.key)
	}
}

// rouse has next called if l is what is due first. The lock is held.
func (w *wills) rouse(l *lateWill) {
	if l.place != 0 {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// publishDue publishes wills as they become due, and what is left of them when the
// server ends.
func (s *Server) publishDue() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for closing := false; !closing; {
		select {
		case <-timer.C:
		case <-s.wills.wake:
		case <-s.quit:
			closing = true
		}
		list, wait := s.wills.next(closing)
		if len(list) > 0 {
			s.publishLate(list)
			wait = 0 // meanwhile others may have become due
		}
		if wait >= 0 {
			timer.Reset(wait)
		}
	}
}

// dueWills is a heap, that which is due first on top.
type dueWills []*lateWill

func (d dueWills) Len() int           { return len(d) }
func (d dueWills) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d dueWills) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push implements heap.Interface.
func (d *dueWills) Push(x any) {
	l := x.(*lateWill)
	l.place = len(*d)
	*d = append(*d, l)
}

// Pop implements heap.Interface.
func (d *dueWills) Pop() any {
	last := len(*d) - 1
	l := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	l.place = -1
	return l
}
