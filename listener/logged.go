package listener

import (
	"sync"
	"time"
)

const (
	// quiet is how long the same is not logged again: a client that connects
	// again and again, only to be refused each time, must not fill a disk.
	quiet = time.Minute

	// maxLogged bounds what is remembered for that.
	maxLogged = 1000
)

// logged remembers what was logged lately.
type logged struct {
	mu sync.Mutex
	at map[string]time.Time
}

// first says whether what was not logged within the time that is quiet. Then it
// is to be logged now; otherwise only for those who debug.
func (l *logged) first(what string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.at[what]; ok && now.Sub(at) < quiet {
		return false
	}
	if l.at == nil || len(l.at) == maxLogged {
		l.at = make(map[string]time.Time)
	}
	l.at[what] = now
	return true
}
