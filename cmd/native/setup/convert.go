package setup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/config/yaml"
)

// Conversion is what became of a configuration of another program.
type Conversion struct {
	Document *Document
	Secrets  map[string]string // file, beside the configuration → the password in it
	Notes    []string          // what could not be taken over, one line each

	noted map[string]bool // settings that lack something, of which Notes say it
}

// FromMosquitto converts a configuration of mosquitto as far as it can be: its
// bridges become connections, its listeners those of the local broker. What it
// yields is a valid configuration; what that lacks is in Notes, and in comments.
func FromMosquitto(name string) (*Conversion, error) {
	m, err := readMosquitto(name)
	if err != nil {
		return nil, err
	}
	c := &Conversion{
		Document: New("Made by mqttdb init from "+name+". What begins with ## explains; a line that begins with", "# is a setting with its default: it counts without the #."),
		Secrets:  map[string]string{},
		noted:    map[string]bool{},
	}
	c.general(&m.general)
	c.listeners(m)
	c.users(m)
	for i := range m.bridges {
		c.bridge(&m.bridges[i])
	}
	c.Document.Complete("cloud")
	if err := c.check(); err != nil {
		return nil, err
	}
	if len(c.Notes) > 0 {
		c.Document.head = append(c.Document.head, "", "Not taken over, or not as it was:")
		c.Document.head = append(c.Document.head, c.Notes...)
	}
	return c, nil
}

// note says that a directive was not taken over, and why.
func (c *Conversion) note(d directive, why string) {
	c.Notes = append(c.Notes, fmt.Sprintf("%s: %s: %s", d.place, redacted(d), why))
}

// redacted is a directive without its secret.
func redacted(d directive) string {
	if strings.Contains(d.key, "password") && !strings.HasSuffix(d.key, "_file") || d.key == "bridge_psk" {
		return d.key
	}
	return d.String()
}

// check takes out, in comments, what this version refuses.
func (c *Conversion) check() error {
	for range 1000 {
		_, err := yaml.Parse("mqttdb.yaml", []byte(c.Document.String()), nil)
		if err == nil {
			return nil
		}
		var wrong *yaml.Error
		if !errors.As(err, &wrong) {
			return err
		}
		var about *config.Error
		if !errors.As(wrong.Err, &about) {
			return err
		}
		n := c.Document.counting(about.Path)
		if n == nil {
			return err
		}
		why := strings.TrimPrefix(about.Error(), about.Path+": ")
		n.unset()
		n.remarks = append(n.remarks, "not taken over: "+why)
		if !c.noted[about.Path] {
			c.Notes = append(c.Notes, fmt.Sprintf("%s: not taken over: %s", about.Path, why))
		}
	}
	return errors.New("the configuration that was made is not valid")
}

// counting finds the setting at the path of an error, or the nearest above it
// that counts.
func (d *Document) counting(path string) *node {
	found, n := (*node)(nil), d.root
	for _, key := range strings.Split(strings.ReplaceAll(path, "[", ".["), ".") {
		var next *node
		if index, err := strconv.Atoi(strings.Trim(key, "[]")); err == nil && key[0] == '[' {
			if index < len(n.children) {
				next = n.children[index]
			}
		} else {
			for _, c := range n.children {
				if c.key == key {
					next = c
				}
			}
		}
		if next == nil || !next.counts() {
			break
		}
		found, n = next, next
	}
	return found
}

// unset makes a comment of n and of what is below it.
func (n *node) unset() {
	n.set = false
	for _, c := range n.children {
		c.unset()
	}
}

// quote writes a text for YAML.
func quote(s string) string { return strconv.Quote(strings.ReplaceAll(s, "$", "$$")) }

// quoteAll writes a list of texts for YAML.
func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// missing says whether a key, or with = a value of it, is not built yet.
func missing(pattern string) bool {
	for _, n := range config.NotYet() {
		if n == pattern {
			return true
		}
	}
	return false
}
