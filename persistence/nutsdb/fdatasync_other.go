//go:build !linux && !js

package nutsdb

import "os"

// syncData makes what was written to f durable, and its length.
func syncData(f *os.File) error { return f.Sync() }
