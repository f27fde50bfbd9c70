package types

import "strings"

// Covers says whether wide selects every topic that narrow selects
// [MQTT-4.7.1]: whoever may read wide may then subscribe to narrow. Both must be
// valid filters; a topic is one, too. As in Matches, a filter that begins with a
// wildcard does not select topics that begin with $.
func Covers(wide, narrow string) bool {
	if wide == "+/#" {
		wide = "#" // there is no topic without a level
	}
	if strings.HasPrefix(narrow, "$") && !strings.HasPrefix(wide, "$") {
		return false
	}
	for {
		w, wrest, wmore := strings.Cut(wide, "/")
		if w == "#" {
			return true
		}
		n, nrest, nmore := strings.Cut(narrow, "/")
		if w != n && (w != "+" || n == "#") {
			return false
		}
		switch {
		case !wmore && !nmore:
			return true
		case wmore && !nmore:
			return wrest == "#" // "a/#" selects "a" too
		case !wmore:
			return false
		}
		wide, narrow = wrest, nrest
	}
}
