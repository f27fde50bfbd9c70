package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret is text that is never printed, logged or encoded: it shows as "(set)",
// or as nothing if it is empty.
type Secret string

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(set)"
}

// GoString keeps %#v from printing the text.
func (s Secret) GoString() string { return s.String() }

// Format keeps every verb of fmt from printing the text.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText keeps encoders (JSON, YAML, XML) from writing the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps log/slog from writing the text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SecretFrom takes the secret out of the contents of a file: its first line,
// without the end of it.
func SecretFrom(file []byte) Secret {
	line, _, _ := strings.Cut(string(file), "\n")
	return Secret(strings.TrimSuffix(line, "\r"))
}
