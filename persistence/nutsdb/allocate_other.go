//go:build !js && !linux

package nutsdb

import (
	"errors"
	"math"
	"os"
)

// allocate is not there: a full disk is noticed when writing to it fails.
func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

func punch(*os.File, int64, int64) error { return errors.ErrUnsupported }

// freeSpace is not known.
func freeSpace(string) (int64, error) { return math.MaxInt64, nil }

// inPlace says whether the file system of f writes what is overwritten in its place, as
// far as is known.
func inPlace(*os.File) bool { return false }
