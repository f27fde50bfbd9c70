package actors

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// S4.2. What happens is written as words: "new 1 a" is a PUBLISH of id 1 with the
// content a, "dup" one with DUP, "rel 1" is PUBREL, "link" and "lost" are links with
// the session and without, "restart" is another process with what was recorded. A
// PUBLISH that is stored is said so.
func TestPackets(t *testing.T) {
	tests := []struct {
		name, happens, stored, open, tombs string
	}{
		{"open, then a tombstone", "link, new 1 a, new 2 b, rel 1", "a b", "2", "1"},
		{"a repeat of what is open", "link, new 1 a, link, dup 1 a", "a", "1", ""},
		{"a repeat of what is open, after a restart", "link, new 1 a, restart, link, dup 1 a", "a", "1", ""},
		{"a repeat of what is complete", "link, new 1 a, rel 1, link, dup 1 a, rel 1", "a", "", "1"},
		{"the same, after a restart", "link, new 1 a, rel 1, restart, link, dup 1 a, rel 1", "a", "", "1"},
		{"without DUP it is a new message", "link, new 1 a, new 1 a", "a a", "1", ""},
		{"a tombstone does not stop a new message", "link, new 1 a, rel 1, new 1 a, rel 1", "a a", "", "1"},
		{"another content is another message", "link, new 1 a, link, dup 1 b", "a b", "1", ""},
		{"the same content under another id", "link, new 1 a, link, dup 2 a", "a a", "1 2", ""},
		{"another session", "link, new 1 a, new 2 b, rel 2, lost, dup 1 a, dup 2 b", "a b a b", "1 2", ""},
		{"PUBREL of nothing", "link, rel 7", "", "", ""},
		{"PUBREL again", "link, new 1 a, rel 1, rel 1, link, rel 1", "a", "", "1"},
		{"new messages end the tombstones of earlier links", "link, new 1 a, rel 1, link, new 2 b, link, dup 1 a", "a b a", "1 2", ""},
		{"not those of this link", "link, new 2 b, new 1 a, rel 1, new 3 c, link, dup 1 a", "b a c", "1 2 3", ""},
		{"nor what was repeated on it", "link, new 1 a, rel 1, link, dup 1 a, new 2 b, link, dup 1 a", "a b", "1 2", ""},
		{"nor what was released again on it", "link, new 1 a, rel 1, link, rel 1, new 2 b, link, dup 1 a", "a b", "1 2", ""},
		{"the number of tombstones is bounded", "link, new 1 a, rel 1, new 2 b, rel 2, new 3 c, rel 3, new 4 d, rel 4, link, dup 1 a, dup 2 b", "a b c d a", "1 2", "3 4"},
		{"by twice what was open at a time", "link, new 1 a, new 2 b, new 3 c, new 4 d, rel 1, rel 2, rel 3, rel 4, link, dup 1 a", "a b c d", "1", "2 3 4"},
		{"also after a restart", "link, new 1 a, new 2 b, new 3 c, new 4 d, rel 1, rel 2, rel 3, restart, link, rel 4, link, dup 1 a", "a b c d", "1", "2 3 4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, recorded, stored := packets{most: 3}, map[string][]byte{}, []string{}
			load := func() {
				var marks []persistence.Mark
				for key, value := range recorded {
					marks = append(marks, persistence.Mark{Key: key, Value: value})
				}
				p.load(marks)
			}
			load()
			for _, what := range strings.Split(test.happens, ", ") {
				words := append(strings.Fields(what), "0", "")
				id, _ := strconv.Atoi(words[1])
				var marks []persistence.Mark
				hash := hashOf(&types.Message{Topic: "t", Payload: []byte(words[2])})
				switch words[0] {
				case "link", "lost":
					marks = p.begin(words[0] == "link")
				case "restart":
					p = packets{most: 3}
					load()
				case "rel":
					marks = p.released(uint16(id))
				case "new", "dup":
					dup := words[0] == "dup"
					if !dup {
						marks = p.fresh(uint16(id))
					}
					if !p.repeats(uint16(id), dup, hash) {
						stored = append(stored, words[2])
						marks = append(marks, p.begun(uint16(id), hash))
					}
				}
				for _, m := range marks {
					recorded[m.Key] = m.Value
					if len(m.Value) == 0 {
						delete(recorded, m.Key)
					}
				}
			}
			var open, tombs []string
			for id := range uint16(10) {
				if known, ok := p.known[id]; ok && known.open {
					open = append(open, fmt.Sprint(id))
				} else if ok {
					tombs = append(tombs, fmt.Sprint(id))
				}
			}
			got := []string{strings.Join(stored, " "), strings.Join(open, " "), strings.Join(tombs, " ")}
			if want := []string{test.stored, test.open, test.tombs}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("stored, open, tombstones: %q, want %q", got, want)
			}
			// What was recorded is what a restart finds: all that is open or a
			// tombstone, and nothing else.
			if len(recorded) != len(p.known) {
				t.Errorf("%d ids are recorded, %d are known", len(recorded), len(p.known))
			}
		})
	}
}

// A hash tells where a topic ends.
func TestContentHash(t *testing.T) {
	seen := map[contentHash]bool{}
	for _, m := range []types.Message{{}, {Topic: "a"}, {Payload: []byte("a")}, {Topic: "a", Payload: []byte("b")}, {Topic: "ab"}, {Payload: []byte("ab")}, {Topic: "\x00"}} {
		if h := hashOf(&m); seen[h] {
			t.Errorf("%q %q has the hash of another one", m.Topic, m.Payload)
		} else {
			seen[h] = true
		}
	}
}
