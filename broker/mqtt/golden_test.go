package mqtt

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
)

var update = flag.Bool("update", false, "write what links tell now into testdata")

// TestGolden plays what a broker sends, and compares what the link tells with
// testdata/inbound.txt:
//
//	# what the case shows
//	< 40 02 "any text" 00*300   what the broker sends, then it hangs up
//	= acked PUBACK 1            what is told, event by event
func TestGolden(t *testing.T) {
	const file = "testdata/inbound.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	for i, section := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if i > 0 {
			now.WriteString("\n")
		}
		var in []byte
		var want []string
		name := ""
		for line := range strings.SplitSeq(section, "\n") {
			switch kind, rest, _ := strings.Cut(line, " "); kind {
			case "#":
				name = rest
			case "<":
				in = append(in, parseBytes(t, rest)...)
			case "=":
				want = append(want, rest)
				continue
			default:
				t.Fatalf("%s: a line that is none of #, < and =: %s", file, line)
			}
			now.WriteString(line + "\n")
		}
		var got []string
		t.Run(name, func(t *testing.T) {
			if in == nil {
				return
			}
			got = tells(t, in)
			if !*update && strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			// The network may cut anywhere: packets and reads are not the same.
			if one, ends := parse(in, len(in)), parse(in, 1); one != ends {
				t.Errorf("byte by byte:\n%s\nin one piece:\n%s", ends, one)
			}
		})
		for _, line := range got {
			now.WriteString("= " + line + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tells plays in to a link whose client has asked for 2 filters with id 1 and
// given one back with id 2, and returns what the link tells.
func tells(t *testing.T, in []byte) []string {
	o := options()
	o.MaxPacket = goldenMax
	p, link := connect(t, nil, o)
	if err := link.Subscribe(1, []broker.Filter{{Topic: "a"}, {Topic: "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := link.Unsubscribe(2, []string{"c"}); err != nil {
		t.Fatal(err)
	}
	p.until(func() bool { return p.sent.Len() == 12+7 })
	p.conn.Write(in) // fails when the link has ended before the last byte
	p.conn.Close()
	p.down()
	p.mu.Lock()
	defer p.mu.Unlock()
	var told []string
	for _, e := range p.events {
		told = append(told, show(e))
	}
	return told
}

const goldenMax = 100

// parse cuts and decodes in, which arrives in pieces of a size, and shows it.
func parse(in []byte, size int) string {
	var s strings.Builder
	f := newFrames(pieces{bytes.NewReader(in), size}, goldenMax)
	for {
		cut, ok, err := f.next()
		if err == nil && !ok {
			err = f.fill()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return s.String() + err.Error()
		}
		packet, err := decode(cut)
		if err != nil {
			return s.String() + err.Error()
		}
		switch p := packet.(type) {
		case broker.Inbound:
			s.WriteString(showInbound(p) + "\n")
		case broker.Event:
			s.WriteString(show(p) + "\n")
		case broker.Ack:
			s.WriteString(show(broker.Acked{Acks: []broker.Ack{p}}) + "\n")
		default:
			s.WriteString("a pong or a CONNACK\n")
		}
	}
}

// parseBytes reads hex digits, "text" and either*count.
func parseBytes(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(s) {
		word, times, repeated := strings.Cut(word, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(times); err != nil {
				t.Fatal(err)
			}
		}
		var piece []byte
		if strings.HasPrefix(word, `"`) {
			text, err := strconv.Unquote(word)
			if err != nil {
				t.Fatalf("%s: %v", word, err)
			}
			piece = []byte(text)
		} else {
			var err error
			if piece, err = hex.DecodeString(word); err != nil {
				t.Fatalf("%s: %v", word, err)
			}
		}
		out = append(out, bytes.Repeat(piece, n)...)
	}
	return out
}
