//go:build js

package indexeddb

import (
	"fmt"
	"sync"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// quota watches how much the browser lets the origin store, so that messages are refused
// before it is used up: what comes then, acknowledgements and what compaction moves, finds
// the reserve.
type quota struct {
	ask func() (usage, quota int64, err error)

	mu      sync.Mutex
	asked   time.Time
	used    int64 // as the browser said
	granted int64 // 0: it does not say
	since   int64 // bytes written since then
}

const (
	// askEvery is how old an answer may be.
	askEvery = 2 * time.Second
	// askAfter is how much may be written on one answer, in bytes.
	askAfter = 1 << 20
	// askFull is how old the answer may be that there is no room.
	askFull = 100 * time.Millisecond
	// mostReserve is the largest reserve, in bytes: it takes the state of a queue and what
	// compaction moves before a segment can go, several times.
	mostReserve = 64 << 20
)

func (q *quota) wrote(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.since += int64(bytes)
}

// freed has the browser be asked again.
func (q *quota) freed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = time.Time{}
}

// reserve is what is kept for other things than messages, in bytes.
func (q *quota) reserve() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return reserveOf(q.granted)
}

func reserveOf(granted int64) int64 { return min(mostReserve, granted/8) }

// room says whether there is room for messages of so many bytes.
func (q *quota) room(bytes int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	age := time.Since(q.asked)
	if age > askEvery || q.since > askAfter || !q.fits(bytes) && age > askFull {
		used, granted, err := q.ask()
		if err != nil { // what is too much is found out when it is written
			used, granted = 0, 0
		}
		q.asked, q.used, q.granted, q.since = time.Now(), used, granted, 0
	}
	if !q.fits(bytes) {
		return &types.StoreError{
			Op: "write to", Queue: "the browser's storage",
			Err:  fmt.Errorf("%w: %d of %d MiB that the browser grants are used", types.ErrDiskFull, (q.used+q.since)>>20, q.granted>>20),
			Hint: "free space on this device, or drain or clear the queue: what is stored is sent on meanwhile",
		}
	}
	return nil
}

func (q *quota) fits(bytes int64) bool {
	return q.granted == 0 || q.used+q.since+bytes+reserveOf(q.granted) <= q.granted
}

// estimate asks the browser what the origin uses and may use, in bytes; 0: it does not say.
func estimate() (usage, quota int64, err error) {
	storage := global("navigator", "storage")
	if storage.Type() != js.TypeObject {
		return 0, 0, nil
	}
	v, err := settled(func() js.Value { return storage.Call("estimate") })
	if err != nil || v.Get("quota").Type() != js.TypeNumber || v.Get("usage").Type() != js.TypeNumber {
		return 0, 0, err
	}
	return int64(v.Get("usage").Float()), int64(v.Get("quota").Float()), nil
}
