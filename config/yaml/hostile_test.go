package yaml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostile files, each of which would cost a careless reader its time, its
// memory or its stack.
func hostile() map[string]string {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	steps := ""
	for i := range 400 {
		steps += strings.Repeat(" ", i) + "a:\n"
	}
	return map[string]string{
		"alias bomb":    bomb,
		"ten megabytes": strings.Repeat("# comment\n", 1<<20),
		"brackets":      strings.Repeat("[", 1<<19),
		"braces":        strings.Repeat("{a: ", 1<<18),
		"dashes":        strings.Repeat("- ", 1<<19),
		"colons":        strings.Repeat("a: ", 1<<18),
		"questions":     strings.Repeat("? ", 1<<19),
		"steps":         steps,
		"keys":          strings.Repeat("a: 1\n", 1<<17),
		"other keys":    strings.Repeat("a: 1\n", maxTokens/3-1),
		"documents":     strings.Repeat("---\n", 1<<18),
		"ends":          strings.Repeat("...\n", 1<<18),
		"anchors":       strings.Repeat("&a ", 1<<18),
		"tags":          strings.Repeat("! ", 1<<19),
		"long key":      strings.Repeat("x", 1<<19) + ": 1",
		"long line":     "data_dir: " + strings.Repeat("x", 1<<19) + ": 1",
		"quotes":        strings.Repeat("'", 1<<19),
		"tabs":          "mqtt:\n" + strings.Repeat("\t", 1<<19) + "x: 1",
		"carriage":      strings.Repeat("\r", 1<<19) + "x: 1",
		"variables":     "data_dir: '" + strings.Repeat("${HOME}", 1<<16) + "'",
		"open variable": "data_dir: '" + strings.Repeat("${", 1<<18) + "'",
		"list entries":  "connections: {c: {broker: [" + strings.Repeat("a,", maxTokens/2-10) + "]}}",
		"names":         "connections: {" + strings.Repeat("x: {}, ", maxTokens/5-10) + "}",
	}
}

func TestHostileFiles(t *testing.T) {
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := Parse("x.yaml", []byte(text), testEnv)
			if err == nil {
				t.Fatal("accepted")
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("took %v", took)
			}
			if first, _, _ := strings.Cut(err.Error(), "\n"); len(first) > 500 {
				t.Errorf("the error has %d bytes: %.200s", len(first), first)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("connections: {c: {broker: mqtt://h, will: {topic: a, payload: !!binary x}, forward: [{topic: a}]}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("x.yaml", data, testEnv)
		if err == nil {
			if err := c.SetDefaultsAndValidate(); err != nil {
				t.Errorf("accepted, and then refused: %v", err)
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "x.yaml:") {
				t.Errorf("no place in %q", line)
			}
		}
	})
}
