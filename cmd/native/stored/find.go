//go:build !js

// Package stored looks at the queues in the files of a gateway, whether it runs or
// not, and changes nothing. It is what `mqttdb inspect` and `mqttdb verify` do.
package stored

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mqttdb/mqttdb/persistence/nutsdb"
)

// Find returns the directories of the queues at place: one, or those up to two
// levels below, in order.
func Find(place string) ([]string, error) {
	if info, err := os.Stat(place); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: name the directory of a queue, of a connection or of all", place)
	}
	var found []string
	root := filepath.Clean(place)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !e.IsDir():
			return nil
		case nutsdb.IsQueue(path):
			found = append(found, path)
			return fs.SkipDir
		case path != root && strings.Count(strings.TrimPrefix(path, root), string(filepath.Separator)) >= 2:
			return fs.SkipDir
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no queue in %s: %w", place, errNothing)
	}
	return found, err
}

var errNothing = errors.New("nothing was stored there, or it is another directory than data_dir")
