package persistence

import (
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Stored returns r, which Read has returned, as it is shown; store is the id of its
// store, in hex. Where the wall clock was set since it was accepted, that is when it was
// by the clock as it is now.
func (r *Record) Stored(store string) types.Stored {
	accepted := r.Enqueued.Truncate(time.Millisecond) // as it is stored
	if off := r.Since.Sub(accepted); !r.Since.IsZero() && (off > time.Second || off < -time.Second) {
		accepted = r.Since.Round(time.Millisecond)
	}
	return types.Stored{
		Seq: r.Seq, Message: r.Message, Accepted: accepted, Cause: r.Cause,
		Store: store, Enveloped: r.Enveloped, Original: r.Original, Abandoned: r.Abandoned,
	}
}
