// Package setup writes a first configuration file: every key with what it means
// and its default, and what somebody said in place of that.
package setup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mqttdb/mqttdb/config"
)

// Document is a configuration file that is being written.
type Document struct {
	root *node
	head []string
}

// node is a key of the document, and what lies below it.
type node struct {
	key      string // "" for an entry of a list
	pattern  string // connections.*.forward[].topic
	value    string // as YAML has it; of a leaf
	set      bool   // it counts; else it is a comment
	remarks  []string
	children []*node
}

// New returns a document with nothing but comments.
func New(head ...string) *Document {
	return &Document{root: &node{}, head: head}
}

// Set makes the key at this path, each element of it in the order in which they
// came first, count with a value. An element "-" begins a new entry of a list, "="
// stands for the latest.
func (d *Document) Set(value string, path ...string) {
	n := d.at(path)
	n.value, n.set = value, true
}

// Remark puts a comment above the key at this path, which is made if it is not
// there.
func (d *Document) Remark(text string, path ...string) {
	n := d.at(path)
	if !slices.Contains(n.remarks, text) {
		n.remarks = append(n.remarks, text)
	}
}

func (d *Document) at(path []string) *node {
	n := d.root
	for i, key := range path {
		n = n.child(key, patternOf(path[:i+1]))
	}
	return n
}

// child returns the child of that key, and makes it if there is none.
func (n *node) child(key, pattern string) *node {
	if key == "-" || key == "=" {
		if last := len(n.children) - 1; key == "=" && last >= 0 {
			return n.children[last]
		}
		n.children = append(n.children, &node{pattern: pattern})
		return n.children[len(n.children)-1]
	}
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	n.children = append(n.children, &node{key: key, pattern: pattern})
	return n.children[len(n.children)-1]
}

// patternOf is the path as config.Keys has it.
func patternOf(path []string) string {
	var b strings.Builder
	for i, key := range path {
		switch parent := strings.Join(path[:i], "."); {
		case key == "-" || key == "=":
			b.WriteString("[]")
			continue
		case parent == "connections" || parent == "mqtt.users":
			key = "*"
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(key)
	}
	return b.String()
}

// Complete adds all keys that are not there as comments with their defaults. Of
// connections, users and entries of lists it completes the first, and makes one
// as an example if there is none.
func (d *Document) Complete(connection string) {
	for _, k := range config.Keys() {
		n := d.root
		path := strings.Split(strings.ReplaceAll(k.Path, "[]", ".[]"), ".")
		for i, key := range path {
			pattern := strings.ReplaceAll(strings.Join(path[:i+1], "."), ".[]", "[]")
			switch {
			case key == "[]" || key == "*":
				if len(n.children) == 0 {
					name := map[string]string{"connections": connection, "mqtt.users": "sensor"}[n.pattern]
					n.children = append(n.children, &node{key: name, pattern: pattern})
				}
				n = n.children[0]
			default:
				n = n.child(key, pattern)
			}
		}
		if !n.set {
			n.value = literal(k)
		}
	}
	d.root.sort(order())
}

// literal is the default of a key as YAML has it.
func literal(k config.Key) string {
	if k.Default == "" {
		return `""`
	}
	return k.Default
}

// order is the place of each key and of what is above it.
func order() map[string]int {
	places := map[string]int{}
	for i, k := range config.Keys() {
		for p := k.Path; p != ""; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
			if _, ok := places[p]; !ok {
				places[p] = i
			}
		}
	}
	return places
}

func (n *node) sort(places map[string]int) {
	slices.SortStableFunc(n.children, func(a, b *node) int { return places[a.pattern] - places[b.pattern] })
	for _, c := range n.children {
		c.sort(places)
	}
}

// counts says whether something at n or below it is no comment.
func (n *node) counts() bool { return n.set || slices.ContainsFunc(n.children, (*node).counts) }

// String is the file. Lines that begin with # and no second one are settings that
// do not count; without it they do.
func (d *Document) String() string {
	var b strings.Builder
	for _, line := range d.head {
		fmt.Fprintf(&b, "## %s\n", line)
	}
	w := writer{&b, meanings(), map[string]bool{}}
	for _, c := range d.root.children {
		b.WriteByte('\n')
		w.write(c, 0, "")
	}
	return b.String()
}
