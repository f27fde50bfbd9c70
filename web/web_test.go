package web_test

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/web"
)

var references = regexp.MustCompile(`(?:src|href)="([^"#]+)"|from '([^']+)'`)

// What the page loads is there, and is its own.
func TestReferencesAreThere(t *testing.T) {
	found := 0
	err := fs.WalkDir(web.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		text, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			return err
		}
		for _, match := range references.FindAllStringSubmatch(string(text), -1) {
			found++
			to := path.Join(path.Dir(name), match[1]+match[2])
			if _, err := fs.Stat(web.Files(), to); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil || found < 10 {
		t.Fatalf("%d references: %v", found, err)
	}
}

// The policy forbids what is inline, and nobody writes HTML from data.
func TestNothingInline(t *testing.T) {
	forbidden := regexp.MustCompile(`<script>|<style|\sstyle="|\son[a-z]+="|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`)
	err := fs.WalkDir(web.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		text, err := fs.ReadFile(web.Files(), name)
		if found := forbidden.Find(text); found != nil {
			t.Errorf("%s has %q", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
