package setup

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/mqttdb/mqttdb/docs"
)

// writer writes the nodes of a document.
type writer struct {
	*strings.Builder
	meanings map[string]string
	said     map[string]bool // patterns whose meaning was written
}

// lineWidth is about how long a comment gets.
const lineWidth = 110

// write writes n and what is below it. bullet begins the first line, if n is in
// an entry of a list.
func (w *writer) write(n *node, indent int, bullet string) {
	margin := strings.Repeat(" ", indent)
	if text := w.meanings[n.pattern]; text != "" && !w.said[n.pattern] {
		w.said[n.pattern] = true
		w.comment(margin, text)
	}
	for _, r := range n.remarks {
		w.comment(margin, r)
	}
	hash := "#"
	if n.counts() {
		hash = ""
	}
	start := margin
	if bullet != "" {
		start = margin[:len(margin)-len(bullet)] + bullet
	}
	if len(n.children) == 0 {
		if n.key != "" {
			fmt.Fprintf(w, "%s%s%s: %s\n", hash, start, n.key, n.value)
		}
		return
	}
	fmt.Fprintf(w, "%s%s%s:\n", hash, start, n.key)
	for _, c := range n.children {
		if c.key != "" {
			w.write(c, indent+2, "")
			continue
		}
		w.entry(c, indent+4)
	}
}

// entry writes an entry of a list: the first line that counts, or else the first,
// has the dash.
func (w *writer) entry(n *node, indent int) {
	for _, r := range n.remarks {
		w.comment(strings.Repeat(" ", indent), r)
	}
	children := n.children
	if n.counts() { // the dash must not be in a comment
		children = nil
		for _, counting := range []bool{true, false} {
			for _, c := range n.children {
				if c.counts() == counting {
					children = append(children, c)
				}
			}
		}
	}
	bullet := "- "
	for _, c := range children {
		w.write(c, indent, bullet)
		bullet = ""
	}
}

// comment writes a text in lines of about one width.
func (w *writer) comment(margin, text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(margin)+len(line)+len(word) > lineWidth {
			fmt.Fprintf(w, "##%s %s\n", margin, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	fmt.Fprintf(w, "##%s %s\n", margin, line)
}

// meanings are the meanings of all keys, as the reference has them.
func meanings() map[string]string {
	plain := strings.NewReplacer("`", "", " · **not yet**", " (not in this version)", "**not yet**", "not in this version")
	all := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*) \\| (.*) \\| .* \\|$").FindAllStringSubmatch(docs.Configuration(), -1) {
		all[m[1]] = plain.Replace(m[2])
	}
	return all
}
