package yaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	goyaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/mqttdb/mqttdb/config"
)

// Bounds of a file, since the parser's time grows with the square of the
// tokens and its stack with the nesting.
const (
	maxFile   = 1 << 20 // bytes
	maxTokens = 30000
	maxIndent = 100 // columns, of anything that can nest
	maxDepth  = 20  // of [] and {}
)

// read parses data into the body of its only document; nil for an empty one.
func read(data []byte) (body ast.Node, mistake *Error) {
	defer func() { // the parser is not ours: what it cannot take is a mistake in the file
		if r := recover(); r != nil {
			body, mistake = nil, fileMistake(place{1, 1}, "is not YAML that can be read", "")
		}
	}()
	text, mistake := text(data)
	if mistake != nil {
		return nil, mistake
	}
	tokens := lexer.Tokenize(text)
	if mistake := checkTokens(tokens); mistake != nil {
		return nil, mistake
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are reported with the rest
	if err != nil {
		return nil, syntaxMistake(err, text)
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			return doc.Body, nil
		}
	}
	return nil, nil
}

// text returns data as clean UTF-8 with \n at the ends of lines.
func text(data []byte) (string, *Error) {
	if len(data) > maxFile {
		return "", fileMistake(place{1, 1}, fmt.Sprintf("the file has %d bytes, at most %s are read", len(data), config.FormatSize(maxFile)), "")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	at := place{1, 1}
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		rest = rest[n:]
		switch {
		case r == utf8.RuneError && n == 1:
			return "", fileMistake(at, "the file is not UTF-8", "save it as UTF-8")
		case r == '\n':
			at = place{at.line + 1, 0}
		case r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufeff':
			return "", fileMistake(at, fmt.Sprintf("the control character %U is not allowed", r), "")
		}
		at.column++
	}
	return string(data), nil
}

// checkTokens refuses what is not part of this language.
func checkTokens(tokens token.Tokens) *Error {
	if len(tokens) > maxTokens {
		return fileMistake(placeOf(tokens[maxTokens]), fmt.Sprintf("the file has more than %d words and signs", maxTokens), "")
	}
	depth, line, content, ended := 0, 0, false, false
	for _, t := range tokens {
		at := placeOf(t)
		first := at.line != line
		line = at.line
		if t.Type == token.CommentType {
			continue
		}
		if ended || content && t.Type == token.DocumentHeaderType {
			return fileMistake(at, "a second document begins", "a file holds one")
		}
		content = true
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		case token.DocumentEndType:
			ended = true
		case token.AnchorType, token.AliasType:
			return fileMistake(at, "anchors (&) and aliases (*) are not allowed", "write the value again, or put quotes around it")
		case token.MergeKeyType:
			return fileMistake(at, "merge keys (<<) are not allowed", "write the values again")
		case token.TagType:
			return fileMistake(at, "tags (!) are not allowed", "put quotes around a value that begins with !")
		case token.MappingKeyType:
			return fileMistake(at, "complex keys (?) are not allowed", "write key: value")
		case token.DirectiveType:
			return fileMistake(at, "directives (%) are not allowed", "put quotes around a value that begins with %")
		}
		nests := first || t.Type == token.SequenceEntryType
		if depth > maxDepth || depth == 0 && nests && at.column > maxIndent {
			return fileMistake(at, "nested too deep", "")
		}
	}
	return nil
}

// syntaxMistake takes what the parser says without the piece of the file that
// it quotes, which may hold a secret.
func syntaxMistake(err error, text string) *Error {
	var syntax *goyaml.SyntaxError
	if !errors.As(err, &syntax) {
		return fileMistake(place{1, 1}, "is not YAML that can be read", "")
	}
	at := placeOf(syntax.Token)
	hint, lines := "", strings.Split(text, "\n")
	switch line := lines[min(at.line, len(lines))-1]; {
	case strings.Contains(line, "${"):
		hint = "within [] and {} a value with ${...} needs quotes"
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		return fileMistake(at, "a tab at the beginning of a line", "indent with spaces")
	}
	return fileMistake(at, syntax.Message, hint)
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// fileMistake is one that belongs to no setting.
func fileMistake(at place, msg, hint string) *Error {
	return &Error{Line: at.line, Column: at.column, Err: &config.Error{Msg: msg, Hint: hint}}
}
