package sidecar

import (
	"context"
	"sync"
)

// outbox is what waits to be written to a client. It may be used concurrently.
type outbox struct {
	mu     sync.Mutex
	frames [][]byte
	bytes  int    // of frames
	ack    uint64 // to be told, behind frames; 0: nothing new
	status []byte // the latest, behind all; nil: nothing new

	wake chan struct{} // holds one while there may be something to write
	room chan struct{} // closed, and another made, when something was taken out
}

const (
	// messageBytes of frames may wait for one more message to join them.
	messageBytes = 1 << 20

	// answerBytes of frames may wait before requests are no longer read.
	answerBytes = 4 << 20
)

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), room: make(chan struct{})}
}

// push adds a frame. What f is made of is not long enough to be refused.
func (o *outbox) push(f Frame) {
	b, err := f.Append(make([]byte, 0, f.Size()))
	if err != nil {
		return
	}
	o.mu.Lock()
	o.frames = append(o.frames, b)
	o.bytes += len(b)
	o.mu.Unlock()
	o.ring()
}

// acked says that all PUB up to seq are answered.
func (o *outbox) acked(seq uint64) {
	o.mu.Lock()
	o.ack = max(o.ack, seq)
	o.mu.Unlock()
	o.ring()
}

// setStatus replaces the status that is to be told.
func (o *outbox) setStatus(payload []byte) {
	b, _ := Frame{Type: StatusType, Payload: payload}.Append(nil) // it has no header
	o.mu.Lock()
	o.status = b
	o.mu.Unlock()
	o.ring()
}

func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// await waits until at most limit bytes of frames wait.
func (o *outbox) await(ctx context.Context, limit int) error {
	for {
		o.mu.Lock()
		fits, room := o.bytes <= limit, o.room
		o.mu.Unlock()
		if fits {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take returns all that is to be written, in order; spare is used for what comes next.
func (o *outbox) take(spare [][]byte) [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.frames
	o.frames = spare[:0]
	if o.ack > 0 {
		b, _ := Frame{Type: AckType, Seq: o.ack}.Append(nil) // it has no header
		list, o.ack = append(list, b), 0
	}
	if o.status != nil {
		list, o.status = append(list, o.status), nil
	}
	return list
}

// written says that what take returned has gone.
func (o *outbox) written(list [][]byte) {
	n := 0
	for i, b := range list {
		if Type(b[0]) != AckType && Type(b[0]) != StatusType {
			n += len(b)
		}
		list[i] = nil
	}
	o.mu.Lock()
	o.bytes -= n
	close(o.room)
	o.room = make(chan struct{})
	o.mu.Unlock()
}
