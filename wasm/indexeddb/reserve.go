//go:build js

package indexeddb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// reserve is a database of noise. It is given up when the browser grants no more, so that
// acknowledgements and what compaction moves can be stored: only that makes room again. Chromium
// does not tell what it grants: its estimate is always 10 GiB above what is used.
type reserve struct {
	name string // of the database
	size int    // bytes

	mu     sync.Mutex
	whole  bool
	looked time.Time
}

const (
	// reserveSize takes the largest entry, and what a queue writes until a segment can go.
	reserveSize  = 12 << 20
	reserveTable = "reserve"
	// reserveLook is how long it is taken for what it was: other Workers share it.
	reserveLook = 10 * time.Second
	// reserveAgain is when it is tried again to make it.
	reserveAgain = 2 * time.Second
	// freeing is how long the browser may take to count what was deleted.
	freeing, freeingStep = 15 * time.Second, 100 * time.Millisecond
)

// keep makes the reserve if there is none; the error wraps types.ErrDiskFull if there is no room.
func (r *reserve) keep() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := reserveLook
	if !r.whole {
		again = reserveAgain
	}
	if time.Since(r.looked) > again {
		err := r.make()
		r.whole, r.looked = !quotaExceeded(err), time.Now()
	}
	if !r.whole {
		return &types.StoreError{
			Op: "write to", Queue: "the browser's storage", Err: fmt.Errorf("%w: the browser grants no more", types.ErrDiskFull),
			Hint: "free space on this device, or drain or clear the queue: what is stored is sent on meanwhile",
		}
	}
	return nil
}

func (r *reserve) make() error {
	db, _, err := openDatabase(r.name, reserveTable, 1, nil)
	if err != nil {
		return err
	}
	defer db.close()
	n, err := db.read(func(table js.Value) js.Value { return table.Call("count") })
	if err != nil || n.Int() > 0 {
		return err
	}
	noise := make([]byte, r.size) // of zeros little would be left
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	return db.write(durable, func(table js.Value) { table.Call("put", toJS(noise), 0) })
}

// somehow does it, with the room of the reserve if there is no other. What do has begun and
// failed must have left nothing.
func (r *reserve) somehow(do func() error) error {
	err := do()
	if !quotaExceeded(err) {
		return err
	}
	if err := r.giveUp(); err != nil {
		return err
	}
	tick := time.NewTicker(freeingStep)
	defer tick.Stop()
	for end := time.Now().Add(freeing); quotaExceeded(err) && time.Now().Before(end); err = do() {
		<-tick.C
	}
	return err
}

func (r *reserve) giveUp() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole, r.looked = false, time.Now()
	return deleteDatabase(r.name)
}

// spare is how much of it compaction may use, in bytes.
func (r *reserve) spare() int64 { return int64(r.size) / 4 }

func quotaExceeded(err error) bool {
	var thrown *exception
	return errors.As(err, &thrown) && thrown.name == "QuotaExceededError"
}
