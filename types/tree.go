package types

import "strings"

// MaxLevels is how many levels the topics and filters of a Tree may have. A
// filter of 65,535 slashes would take megabytes.
const MaxLevels = 200

// TooDeep says that path has too many levels for a Tree.
func TooDeep(path string) bool { return strings.Count(path, "/") >= MaxLevels }

// Tree keeps values under topics or filters, a node per level. Its paths are
// valid and not too deep; concurrent use is the owner's business.
//
// Its zero value is empty.
type Tree[V any] struct {
	root  treeNode[V]
	nodes int
}

// TreeNode is about how much memory a node of a Tree takes, in bytes: there is one
// for each level of a path that no other path shares.
const TreeNode = 300

// Nodes is how many nodes there are.
func (t *Tree[V]) Nodes() int { return t.nodes }

// Missing is how many nodes At would make for path.
func (t *Tree[V]) Missing(path string) int {
	n := &t.root
	for more := true; more; {
		var level string
		rest := path
		level, path, more = strings.Cut(path, "/")
		if n = n.children[level]; n == nil {
			return 1 + strings.Count(rest, "/")
		}
	}
	return 0
}

type treeNode[V any] struct {
	children map[string]*treeNode[V]
	value    V
	full     bool // it has a value
}

// At returns the place of the value under path, and whether it was there.
func (t *Tree[V]) At(path string) (value *V, existed bool) {
	n := &t.root
	for more := true; more; {
		var level string
		level, path, more = strings.Cut(path, "/")
		child := n.children[level]
		if child == nil {
			if n.children == nil {
				n.children = map[string]*treeNode[V]{}
			}
			child = &treeNode[V]{}
			n.children[level] = child
			t.nodes++
		}
		n = child
	}
	existed, n.full = n.full, true
	return &n.value, existed
}

// Get returns the value under path, nil if there is none.
func (t *Tree[V]) Get(path string) *V {
	n := &t.root
	for more := true; more; {
		var level string
		level, path, more = strings.Cut(path, "/")
		if n = n.children[level]; n == nil {
			return nil
		}
	}
	if !n.full {
		return nil
	}
	return &n.value
}

// Remove forgets the value under path, and the nodes that only led to it.
func (t *Tree[V]) Remove(path string) { t.nodes -= t.root.remove(path) }

// remove returns how many nodes are gone.
func (n *treeNode[V]) remove(path string) (gone int) {
	level, rest, more := strings.Cut(path, "/")
	child := n.children[level]
	if child == nil {
		return 0
	}
	if more {
		gone = child.remove(rest)
	} else {
		var none V
		child.value, child.full = none, false
	}
	if !child.full && len(child.children) == 0 {
		delete(n.children, level)
		gone++
	}
	return gone
}

// FiltersOf visits the values whose path is a filter that selects topic
// [MQTT-4.7.1], [MQTT-4.7.2-1].
func (t *Tree[V]) FiltersOf(topic string, visit func(V)) {
	t.root.filtersOf(topic, !strings.HasPrefix(topic, "$"), visit)
}

// wild is false where wildcards do not count: in front of a topic with $.
func (n *treeNode[V]) filtersOf(topic string, wild bool, visit func(V)) {
	level, rest, more := strings.Cut(topic, "/")
	if wild {
		n.children["#"].take(visit)
		n.children["+"].descend(rest, more, visit)
	}
	n.children[level].descend(rest, more, visit)
}

func (n *treeNode[V]) descend(rest string, more bool, visit func(V)) {
	switch {
	case n == nil:
	case more:
		n.filtersOf(rest, true, visit)
	default:
		n.take(visit)
		n.children["#"].take(visit) // "a/#" selects "a" too
	}
}

// TopicsOf visits the values whose path is a topic that filter selects, until
// visit returns false.
func (t *Tree[V]) TopicsOf(filter string, visit func(V) bool) {
	level, rest, more := strings.Cut(filter, "/")
	if level != "#" && level != "+" {
		t.root.child(level, rest, more, visit)
		return
	}
	for name, child := range t.root.children {
		if !strings.HasPrefix(name, "$") && !child.selected(level, rest, more, visit) {
			return
		}
	}
}

// topicsOf visits what is below n; false when visit has had enough.
func (n *treeNode[V]) topicsOf(filter string, visit func(V) bool) bool {
	level, rest, more := strings.Cut(filter, "/")
	if level != "#" && level != "+" {
		return n.child(level, rest, more, visit)
	}
	if level == "#" && n.full && !visit(n.value) { // "a/#" selects "a" too
		return false
	}
	for _, child := range n.children {
		if !child.selected(level, rest, more, visit) {
			return false
		}
	}
	return true
}

func (n *treeNode[V]) child(level, rest string, more bool, visit func(V) bool) bool {
	child := n.children[level]
	return child == nil || child.selected(level, rest, more, visit)
}

// selected goes on below a node that the filter's level selects.
func (n *treeNode[V]) selected(level, rest string, more bool, visit func(V) bool) bool {
	switch {
	case level == "#":
		return n.topicsOf("#", visit)
	case more:
		return n.topicsOf(rest, visit)
	}
	return !n.full || visit(n.value)
}

func (n *treeNode[V]) take(visit func(V)) {
	if n != nil && n.full {
		visit(n.value)
	}
}
