//go:build !js && !linux

package nutsdb

import "os"

// isFile says whether the file at path is that which info is of.
func isFile(path string, info os.FileInfo) (bool, error) { return isFileByStat(path, info) }
