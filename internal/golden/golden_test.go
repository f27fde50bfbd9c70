package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

var update = flag.Bool("update", false, "write what happens into testdata/*.txt")

// A conversation is a text. Its lines that are not indented are what happens to
// the gateway, the indented ones below are what comes of it: ">" a packet that
// it sends, "-" what it does beside that. "#" begins a comment, and "|" a line of
// the YAML that its connection has.
//
//	start | stop | kill | power cut            the process; kill leaves what was written, a power cut what was synced
//	configure KEY: VALUE                       for the next start or reload, as | is
//	dials                                      time goes on until it has dialed
//	accept [present] | refuse CODE             the answer to CONNECT
//	greet                                      accepts it, and after the clean session that it began with the next one
//	< PACKET… | hang up                        what the broker says, all in one segment; see packet_test.go
//	serve N | served                           the broker acknowledges N messages, of which nothing is noted; it has
//	publish QOS TOPIC PAYLOAD… | N*PAYLOAD     by the library, each when the one before is stored
//	reload KEY: VALUE                          at once, as configure
//	clear | pause | resume | time DURATION | status
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = tell(t, string(text)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("this happened:\n%s\nwanted:\n%s", got, text)
			}
		})
	}
}

// tell runs a conversation, and returns it with what came of it.
func tell(t *testing.T, text string) string {
	s := newStory(t)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		yaml, isYAML := strings.CutPrefix(line, "|")
		switch {
		case strings.HasPrefix(line, "\t"):
			continue
		case line == "", strings.HasPrefix(line, "#"):
			s.text.WriteString(line + "\n")
			continue
		case isYAML:
			s.configure(strings.TrimSpace(yaml))
			s.text.WriteString(line + "\n")
			continue
		}
		s.text.WriteString(line + "\n")
		verb, rest, _ := strings.Cut(line, " ")
		s.happens(verb, rest)
		synctest.Wait()
		s.note()
	}
	s.end()
	return s.text.String()
}

// The apparatus must see a difference: each of these is what another client would
// have said, or not said.
func TestConversationsSeeADifference(t *testing.T) {
	text, err := os.ReadFile("testdata/resend_order.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, is, might string }{
		{"no DUP", " dup ", " "},
		{"another id", "PUBLISH 3 ", "PUBLISH 4 "},
		{"another order", "publish 1 t one two", "publish 1 t two one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(string(text), c.is, c.might, 1)
			if changed == string(text) {
				t.Fatalf("the conversation has no %q", c.is)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = tell(t, changed) })
			if got == changed {
				t.Error("it was not noticed")
			}
		})
	}
}
