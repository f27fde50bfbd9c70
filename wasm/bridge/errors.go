package bridge

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Failure is an error as a page sees it.
type Failure struct {
	Code    string `json:"code"` // what a program can act on, see codes
	Message string `json:"message"`
	Hint    string `json:"hint"` // what to do about it; "" where that is not known
}

// codes are the names of the errors that a page can act on; the first that matches
// counts.
func codes() []struct {
	err  error
	code string
} {
	return []struct {
		err  error
		code string
	}{
		{types.ErrQueueFull, "full"},
		{types.ErrTooLarge, "too-large"},
		{types.ErrInvalidTopic, "invalid"},
		{types.ErrInvalidMessage, "invalid"},
		{types.ErrNotDelivered, "not-delivered"},
		{types.ErrInterrupted, "interrupted"},
		{types.ErrInUse, "in-use"},
		{types.ErrNewerFormat, "newer-format"},
		{types.ErrClosed, "closed"},
		{context.Canceled, "closed"},
		{context.DeadlineExceeded, "timeout"},
	}
}

// FailureOf describes err.
func FailureOf(err error) Failure {
	f := Failure{Code: "failed", Message: err.Error(), Hint: broker.Hint(err)}
	var store *types.StoreError
	var setting *config.Error
	switch {
	case errors.As(err, &store):
		f.Code, f.Hint = "store", store.Hint
	case errors.As(err, &setting):
		f.Code = "settings"
	}
	for _, known := range codes() {
		if errors.Is(err, known.err) {
			f.Code = known.code
			break
		}
	}
	return f
}

// json is f as a page reads it.
func (f Failure) json() []byte {
	b, err := json.Marshal(f)
	if err != nil {
		return []byte(`{"code":"failed"}`) // three texts can be written
	}
	return b
}

func appendError(b []byte, number uint32, err error) []byte {
	return appendRecord(b, errorKind, number, FailureOf(err).json())
}
