package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// vendor holds what the status page has of others, each in a folder of its own with
// its LICENSE and a README.md that begins with its name and version.
const vendor = "web/static/vendor"

// vendored lists what lies in vendor.
func vendored(root string) ([]part, error) {
	entries, err := os.ReadDir(filepath.Join(root, vendor))
	if err != nil {
		return nil, fmt.Errorf("list what the status page has of others: %w", err)
	}
	var parts []part
	for _, entry := range entries {
		at := path.Join(vendor, entry.Name())
		dir := filepath.Join(root, at)
		text, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			return nil, fmt.Errorf("read what %s is: %w", at, err)
		}
		words := strings.Fields(string(text))
		if len(words) < 2 {
			return nil, fmt.Errorf("%s/README.md does not begin with a name and a version", at)
		}
		l, err := readLicence(module{Path: at, Dir: dir})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{name: words[0] + " " + words[1] + " (" + at + ")", licence: l})
	}
	return parts, nil
}
