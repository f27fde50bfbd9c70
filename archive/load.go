package archive

import (
	"errors"
	"fmt"
	"io"

	"github.com/mqttdb/mqttdb/types"
)

// Source yields messages: a Reader is one. Its errors are those of Reader.Next.
type Source interface {
	Next() (Message, error)
}

// Result says what became of the messages of a Source.
type Result struct {
	Imported uint64 `json:"imported"`
	Known    uint64 `json:"known"`   // left out: they are here, or were imported before
	Refused  uint64 `json:"refused"` // left out: they cannot be stored here, or cannot be read
	Why      string `json:"why,omitempty"`
}

// Plus is what r and other came to together.
func (r Result) Plus(other Result) Result {
	if r.Why == "" {
		r.Why = other.Why
	}
	r.Imported, r.Known, r.Refused = r.Imported+other.Imported, r.Known+other.Known, r.Refused+other.Refused
	return r
}

// Refuse notes that something is left out, and why if it is the first one.
func (r *Result) Refuse(err error) {
	if r.Refused++; r.Why == "" {
		r.Why = err.Error()
	}
}

// How much is stored at a time.
const (
	batchMessages = 1000
	batchBytes    = 1 << 20
)

// Load has what from yields stored, in order and in batches: check, if it is not nil,
// says whether a message can be; store stores a batch, which is of one connection and
// queue, and says what became of it, also with an error. Load returns when all are
// stored, or with the first error of store, or of from that is no *LineError.
func Load(from Source, check func(*types.Message) error, store func([]Message) (Result, error)) (Result, error) {
	var total Result
	var batch []Message
	bytes := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		r, err := store(batch)
		total = total.Plus(r)
		clear(batch)
		batch, bytes = batch[:0], 0
		return err
	}
	for {
		m, err := from.Next()
		var bad *LineError
		switch {
		case errors.As(err, &bad):
			total.Refuse(bad)
			continue
		case err == io.EOF:
			return total, flush()
		case err != nil:
			return total, errors.Join(err, flush())
		}
		if check != nil {
			if err := check(&m.Message); err != nil {
				total.Refuse(fmt.Errorf("message %d of %s: %w", m.Seq, m.Store, err))
				continue
			}
		}
		if len(batch) > 0 && (batch[0].Connection != m.Connection || batch[0].Queue != m.Queue) {
			if err := flush(); err != nil {
				return total, err
			}
		}
		batch = append(batch, m)
		if bytes += m.Message.Size(); len(batch) == batchMessages || bytes >= batchBytes {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
}

// Stored returns what of messages is stored, without where they were.
func Stored(list []Message) []types.Stored {
	out := make([]types.Stored, len(list))
	for i := range list {
		out[i] = list[i].Stored
	}
	return out
}
