package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// What is linked and what is listed must be the same, and all of it permissive.
func TestNoticesAreCurrent(t *testing.T) {
	want, err := generate(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(filepath.Join(root, fileName))
	if err != nil {
		t.Fatal(err)
	}
	got := string(stored)
	if got == want {
		return
	}
	t.Errorf("%s is not current: look at what is new, then run make notices", fileName)
	linked, listed := index(want), index(got)
	for _, line := range linked {
		if !slices.Contains(listed, line) {
			t.Errorf("linked, but not listed: %s", line)
		}
	}
	for _, line := range listed {
		if !slices.Contains(linked, line) {
			t.Errorf("listed, but not linked: %s", line)
		}
	}
}

// index gives the lines that name the modules, at the head of the notices.
func index(document string) []string {
	head, _, _ := strings.Cut(document, "====")
	var lines []string
	for line := range strings.SplitSeq(head, "\n") {
		if strings.HasPrefix(line, "  ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestClassify(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // the licences, or part of the error
		refused    bool
	}{
		{name: "permissive", text: goLicence, want: "BSD-3-Clause"},
		{name: "two in a file", text: goLicence + isc, want: "BSD-3-Clause,ISC"},
		{name: "nothing known", text: "All rights reserved.", want: "not understood", refused: true},
		{name: "much besides", text: goLicence + strings.Repeat("You owe us a beer for each copy. ", 100), want: "not understood", refused: true},
		{name: "GPL", text: gpl, want: "GPL-3.0", refused: true},
		{name: "LGPL", text: strings.ReplaceAll(gpl, "GNU ", "GNU Lesser "), want: "LGPL-3.0", refused: true},
		{name: "AGPL", text: strings.ReplaceAll(gpl, "GNU ", "GNU Affero "), want: "AGPL-3.0", refused: true},
		{name: "copyleft beside permissive", text: goLicence + mpl, want: "MPL-2.0", refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names, err := classify(tt.text)
			if tt.refused {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %q and %v, want an error with %q", names, err, tt.want)
				}
				return
			}
			if err != nil || strings.Join(names, ",") != tt.want {
				t.Errorf("got %q and %v, want %q", names, err, tt.want)
			}
		})
	}
}

const (
	mpl = "See https://opensource.org/licenses/MPL-2.0"
	gpl = `
This program is free software: you can redistribute it and/or modify it
under the terms of the GNU General Public License as published by the Free
Software Foundation, either version 3 of the License, or (at your option)
any later version.
`
	isc = `
Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`
)

func TestReadLicence(t *testing.T) {
	tests := []struct {
		name, path string
		files      map[string]string
		want       licence
		refused    string // part of the error
	}{
		{name: "licence and notice", path: "example.com/a", files: map[string]string{"LICENSE.txt": isc, "NOTICE": "Copyright A", "license.go": "package a"},
			want: licence{names: []string{"ISC"}, text: isc, notice: "Copyright A"}},
		{name: "none", path: "example.com/a", files: map[string]string{"README.md": "MIT"}, refused: "no licence file"},
		{name: "copyleft", path: "example.com/a", files: map[string]string{"LICENSE": mpl}, refused: "MPL-2.0"},
		{name: "a choice", path: "github.com/eclipse/paho.mqtt.golang", files: map[string]string{"LICENSE": mpl, "edl-v10": goLicence},
			want: licence{names: []string{"BSD-3-Clause"}, text: goLicence, remark: chosen["github.com/eclipse/paho.mqtt.golang"].remark}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := readLicence(module{Path: tt.path, Dir: dir})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want an error with %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.names, tt.want.names) || got.text != tt.want.text || got.notice != tt.want.notice || got.remark != tt.want.remark {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
