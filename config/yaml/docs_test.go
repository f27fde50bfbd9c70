package yaml

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config"
)

func reference(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The example in the documentation is accepted as it stands.
func TestDocumentedExample(t *testing.T) {
	_, rest, _ := strings.Cut(reference(t), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	c, err := Parse("example", []byte(example), func(string) (string, bool) { return "", false })
	if err != nil || len(c.Connections) < 2 {
		t.Fatalf("%v\n%v", err, c)
	}
	said := settings(example)
	for _, k := range config.Keys() {
		key := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
		if !said[key] && !refused(k.Path) && !slices.Contains([]string{"local_prefix"}, key) {
			t.Errorf("the example lacks %s", k.Path)
		}
	}
}

// settings returns the words before a colon.
func settings(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`([a-z_0-9]+):`).FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return found
}

// refused says whether key is not built yet.
func refused(key string) bool {
	return slices.ContainsFunc(config.NotYet(), func(n string) bool { return config.Within(key, n) })
}

// Every key is documented, with its default, and nothing else is; what is not
// built yet is marked.
func TestEveryKeyIsDocumented(t *testing.T) {
	type row struct{ meaning, def string }
	rows := map[string]row{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*) \\| (.*) \\| .* \\|$").FindAllStringSubmatch(reference(t), -1) {
		rows[m[1]] = row{m[2], strings.Trim(m[3], "`")}
	}
	for _, k := range config.Keys() {
		r, ok := rows[k.Path]
		delete(rows, k.Path)
		switch {
		case !ok:
			t.Errorf("%s is not documented", k.Path)
		case r.def != k.Default:
			t.Errorf("%s: the documented default is %q, it is %q", k.Path, r.def, k.Default)
		case refused(k.Path) != strings.HasSuffix(r.meaning, "· **not yet**"):
			t.Errorf("%s: not yet: %v, the documentation says: %s", k.Path, refused(k.Path), r.meaning)
		}
	}
	for key := range rows {
		t.Errorf("%s is documented and does not exist", key)
	}
	for _, n := range config.NotYet() {
		key, value, _ := strings.Cut(n, "=")
		if value != "" && !regexp.MustCompile("(?m)^\\| `"+regexp.QuoteMeta(key)+"` .*`"+value+"` \\*\\*not yet\\*\\*").MatchString(reference(t)) {
			t.Errorf("%s: the documentation does not say that %s is not built yet", key, value)
		}
	}
}

// The whole contract is known: what is refused is so because it is not built
// yet, and for nothing else.
func TestContract(t *testing.T) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("contract.yaml", data, testEnv)
	for _, e := range unwrap(err) {
		if !strings.Contains(e.Error(), "not built yet in this version") {
			t.Error(e)
		}
	}
	if got, least := len(unwrap(err)), 1; got < least {
		t.Errorf("only %d complaints:\n%v", got, err)
	}
	said := settings(string(data))
	for _, k := range config.Keys() {
		if key := k.Path[strings.LastIndexByte(k.Path, '.')+1:]; !said[key] {
			t.Errorf("the contract lacks %s", k.Path)
		}
	}
}

func unwrap(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{fmt.Errorf("one error, not a list: %w", err)}
}
