//go:build js

package indexeddb

import (
	"errors"
	"fmt"

	"github.com/mqttdb/mqttdb/types"
)

// explain makes a *types.StoreError of err, with what a page or its user can do about it.
// Errors that say so themselves are left as they are.
func explain(op, queue string, err error) error {
	var told *types.StoreError
	if err == nil || errors.As(err, &told) ||
		errors.Is(err, types.ErrForeign) || errors.Is(err, types.ErrNewerFormat) || errors.Is(err, types.ErrClosed) {
		return err
	}
	hint := ""
	var thrown *exception
	switch {
	case errors.Is(err, types.ErrInUse):
		hint = "another tab has the queue: close it, or let it be the one that stores"
	case errors.Is(err, errLost):
		err = fmt.Errorf("%w: %w", types.ErrGone, err)
		hint = "open the queue again; if the data of the site were removed, what was stored is gone"
	case errors.As(err, &thrown):
		switch thrown.name {
		case "QuotaExceededError":
			err = fmt.Errorf("%w: %w", types.ErrDiskFull, err)
			hint = "the browser grants no more space: free some on this device, or drain or clear the queue"
		case "InvalidStateError", "TransactionInactiveError":
			hint = "the database was closed: open the queue again"
		default: // SecurityError, UnknownError, NotAllowedError, none at all: each browser has its own
			hint = "the browser lets this page store nothing: allow it cookies and site data, leave private browsing, or open with durability memory"
		}
	}
	return &types.StoreError{Op: op, Queue: queue, Err: err, Hint: hint}
}
