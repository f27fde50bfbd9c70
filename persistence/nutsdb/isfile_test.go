//go:build unix

package nutsdb

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestIsFile(t *testing.T) {
	for _, test := range []struct {
		name    string
		happens func(path string) error
		want    bool
		missing bool
	}{
		{"nothing", func(string) error { return nil }, true, false},
		{"it is written to", func(path string) error { return os.WriteFile(path, []byte("other"), 0o600) }, true, false},
		{"it is removed", os.Remove, false, true},
		{"it is replaced", func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte("text"), 0o600), os.Rename(path+"2", path))
		}, false, false},
		{"its directory is moved", func(path string) error {
			return os.Rename(filepath.Dir(path), filepath.Dir(path)+"2")
		}, false, true},
		{"its directory becomes a file", func(path string) error {
			dir := filepath.Dir(path)
			return errors.Join(os.Rename(dir, dir+"2"), os.WriteFile(dir, nil, 0o600))
		}, false, true},
		{"a link leads to it", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
		}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "d", "f")
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("text"), 0o600)); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.happens(path); err != nil {
				t.Fatal(err)
			}
			for how, is := range map[string]func(string, fs.FileInfo) (bool, error){"isFile": isFile, "isFileByStat": isFileByStat} {
				got, err := is(path, info)
				if got != test.want || isMissing(err) != test.missing || err != nil && !test.missing {
					t.Errorf("%s = %v, %v; want %v, missing %v", how, got, err, test.want, test.missing)
				}
			}
		})
	}
}
