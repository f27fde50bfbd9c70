package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// directive is a line of mosquitto.conf(5).
type directive struct {
	place string // file:line
	key   string
	value string
}

func (d directive) String() string { return strings.TrimSpace(d.key + " " + d.value) }

// fields are the values of a directive that has several. "" stands for nothing.
func (d directive) fields() []string {
	list := strings.Fields(d.value)
	for i := range list {
		if list[i] == `""` {
			list[i] = ""
		}
	}
	return list
}

// section is a listener, a bridge, or what stands before the first of them.
type section struct {
	start directive // listener or connection; zero: what stands before
	lines []directive
}

// get returns the last value of a key.
func (s *section) get(key string) (string, bool) {
	for _, d := range slices.Backward(s.lines) {
		if d.key == key {
			return d.value, true
		}
	}
	return "", false
}

// mosquittoFile is a configuration of mosquitto, with what it includes.
type mosquittoFile struct {
	general   section
	listeners []section
	bridges   []section
}

// readMosquitto reads a configuration of mosquitto.
func readMosquitto(name string) (*mosquittoFile, error) {
	m := &mosquittoFile{}
	return m, m.read(name, 0)
}

func (m *mosquittoFile) read(name string, depth int) error {
	if depth > 10 {
		return fmt.Errorf("%s: include_dir leads back to it", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read mosquitto's configuration: %w", err)
	}
	into := &m.general
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		d := directive{fmt.Sprintf("%s:%d", name, i+1), key, strings.TrimSpace(value)}
		switch key {
		case "include_dir":
			if err := m.include(d.value, depth); err != nil {
				return err
			}
		case "listener":
			m.listeners = append(m.listeners, section{start: d})
			into = &m.listeners[len(m.listeners)-1]
		case "connection":
			m.bridges = append(m.bridges, section{start: d})
			into = &m.bridges[len(m.bridges)-1]
		default:
			into.lines = append(into.lines, d)
		}
	}
	return nil
}

// include reads what mosquitto does: the files *.conf of a directory, in the
// order of their names.
func (m *mosquittoFile) include(dir string, depth int) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		return fmt.Errorf("include_dir %s: %w", dir, err)
	}
	for _, f := range files {
		if err := m.read(f, depth+1); err != nil {
			return err
		}
	}
	return nil
}
