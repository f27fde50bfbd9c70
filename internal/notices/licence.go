package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// licence is under what a module is passed on.
type licence struct {
	names  []string // SPDX identifiers, sorted
	text   string
	notice string // the module's NOTICE, which Apache-2.0 section 4(d) passes on
	remark string
}

var (
	// permissive licences ask to keep their text, and no more. Any other makes
	// the command and its test fail; copyleft ones stay out for good.
	permissive = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Zlib"}

	// chosen names the file of the licence that we take, where a module offers
	// several.
	chosen = map[string]struct{ file, remark string }{
		"github.com/eclipse/paho.mqtt.golang": {"edl-v10", "offered under EPL-2.0 or EDL-1.0; taken under EDL-1.0, the Eclipse Distribution License, a BSD-3-Clause text"},
	}

	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.(md|txt))?$`)
	noticeFile  = regexp.MustCompile(`(?i)^notice(\.(md|txt))?$`)
)

// enough is the share of a licence file, in percent, that must be known text;
// the rest is copyright lines and headings.
const enough = 80

//go:embed go-licence.txt
var goLicence string

// goItself is the part for the Go standard library and runtime, which every
// program links.
func goItself() part {
	return part{name: "The Go standard library and runtime", licence: licence{names: []string{"BSD-3-Clause"}, text: goLicence}}
}

// readLicence reads the licence of a module from its source, and refuses one
// that is missing, unknown or not permissive.
func readLicence(m module) (licence, error) {
	var l licence
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return l, fmt.Errorf("read the source of %s: %w", m.Path, err)
	}
	choice := chosen[m.Path]
	l.remark = choice.remark
	for _, entry := range entries {
		name := entry.Name()
		wanted := name == choice.file || choice.file == "" && licenceFile.MatchString(name)
		if !wanted && !noticeFile.MatchString(name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			return l, fmt.Errorf("read the licence of %s: %w", m.Path, err)
		}
		if wanted {
			l.text += string(text)
		} else {
			l.notice += string(text)
		}
	}
	if l.text == "" {
		return l, fmt.Errorf("%s has no licence file: it cannot be used", m.Path)
	}
	if l.names, err = classify(l.text); err != nil {
		return l, fmt.Errorf("licence of %s: %w", m.Path, err)
	}
	return l, nil
}

// classify names the licences in a text; all must be permissive.
func classify(text string) ([]string, error) {
	found := licensecheck.Scan([]byte(text))
	var names []string
	for _, match := range found.Match {
		if !slices.Contains(permissive, match.ID) {
			return nil, fmt.Errorf("%s is not among the permissive licences %s", match.ID, strings.Join(permissive, ", "))
		}
		names = append(names, match.ID)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 || found.Percent < enough {
		return nil, fmt.Errorf("the text is not understood: %.0f %% of it are known (%s)", found.Percent, strings.Join(names, ", "))
	}
	return names, nil
}
