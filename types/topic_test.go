package types

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckTopic(t *testing.T) {
	tests := []struct {
		name, topic string
		ok          bool
	}{
		{"plain", "sport/tennis/player1", true},
		{"one character", "/", true}, // [MQTT-4.7.3-1], 4.7.3
		{"leading slash", "/finance", true},
		{"empty levels", "a//b/", true},
		{"spaces", "Accounts payable", true},
		{"dollar", "$SYS/broker", true},
		{"utf-8", "größe/温度/🌡", true},
		{"byte order mark", "a\ufeffb", true}, // [MQTT-1.5.3-3]
		{"longest", strings.Repeat("x", MaxTopic), true},
		{"empty", "", false},
		{"too long", strings.Repeat("x", MaxTopic+1), false},
		{"too long in bytes, not in characters", strings.Repeat("é", MaxTopic/2+1), false},
		{"NUL", "a\x00b", false},
		{"not utf-8", "a\xff", false},
		{"surrogate", "a\xed\xa0\x80", false}, // [MQTT-1.5.3-1]
		{"cut rune", "a\xc3", false},
		{"plus", "a/+/b", false}, // [MQTT-3.3.2-2]
		{"plus in a level", "a+b", false},
		{"hash", "a/#", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expectTopic(t, CheckTopic(tt.topic), tt.ok) })
	}
}

func TestCheckNewTopic(t *testing.T) {
	tests := []struct {
		name, topic string
		ok          bool
	}{
		{"plain", "größe/温度/🌡", true},
		{"space", "Accounts payable", true},
		{"tilde", "~", true},
		{"no-break space", "a\u00a0b", true},
		{"byte order mark", "a\ufeffb", true}, // [MQTT-1.5.3-3]
		{"replacement character", "a\ufffdb", true},
		{"beside the noncharacters", "\ufdcf\ufdf0", true},
		{"as CheckTopic", "a/#", false},
		{"control", "a\x01b", false},
		{"last control", "a\x1fb", false},
		{"newline", "a\n", false},
		{"delete", "a\x7f", false},
		{"C1 control", "a\u0085", false},
		{"last C1 control", "a\u009f", false},
		{"noncharacter", "a\ufffe", false},
		{"noncharacter of a later plane", "a\U0001ffff", false},
		{"noncharacter within", "\ufdd0", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expectTopic(t, CheckNewTopic(tt.topic), tt.ok) })
	}
}

func TestCheckFilter(t *testing.T) {
	tests := []struct {
		name, filter string
		ok           bool
	}{
		// The examples of 4.7.1.2 and 4.7.1.3.
		{"hash behind levels", "sport/tennis/player1/#", true},
		{"hash alone", "#", true},
		{"hash within a level", "sport/tennis#", false},
		{"hash before the end", "sport/tennis/#/ranking", false},
		{"plus alone", "+", true},
		{"plus and hash", "+/tennis/#", true},
		{"plus within a level", "sport+", false},
		{"plus in the middle", "sport/+/player1", true},

		{"all plus", "+/+/+", true},
		{"slash and hash", "/#", true},
		{"no wildcard", "a/b", true},
		{"empty levels", "//", true},
		{"dollar", "$SYS/#", true},
		{"two hashes", "##", false},
		{"hash before slash", "#/", false},
		{"hash behind plus", "+#", false},
		{"two pluses", "a/++", false},
		{"longest", strings.Repeat("x", MaxTopic), true},
		{"empty", "", false},
		{"too long", strings.Repeat("x", MaxTopic+1), false},
		{"NUL", "a/\x00/#", false},
		{"not utf-8", "\xfe/#", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expectTopic(t, CheckFilter(tt.filter), tt.ok) })
	}
}

func expectTopic(t *testing.T, err error, ok bool) {
	t.Helper()
	switch {
	case ok && err != nil:
		t.Errorf("unexpected error: %v", err)
	case !ok && !errors.Is(err, ErrInvalidTopic):
		t.Errorf("error %v is not ErrInvalidTopic", err)
	case !ok && len(err.Error()) > 300:
		t.Errorf("the error repeats the whole topic: %d bytes", len(err.Error()))
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		filter, topic string
		want          bool
	}{
		// 4.7.1.2
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"#", "a/b/c", true},
		// 4.7.1.3
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		// 4.7.2
		{"#", "$SYS/monitor", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/monitor", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"a/+", "a/$x", true}, // only the first level counts
		// 4.7.3
		{"ACCOUNTS", "Accounts", false},
		{"/finance", "finance", false},

		{"a/b", "a/b", true},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/", "a", false},
		{"a//b", "a//b", true},
		{"a/+/b", "a//b", true},
		{"+/#", "a", true},
		{"+/#", "/", true},
		{"+/b/#", "a/b", true},
		{"+/b/#", "a", false},
		{"/#", "/", true},
		{"/#", "a", false},
	}
	for _, tt := range tests {
		t.Run(tt.filter+" "+tt.topic, func(t *testing.T) {
			if got := Matches(tt.filter, tt.topic); got != tt.want {
				t.Errorf("Matches(%q, %q) = %v", tt.filter, tt.topic, got)
			}
		})
	}
}

// matchesLevels is Matches as the specification tells it, level by level.
func matchesLevels(filter, topic []string) bool {
	if len(filter) > 0 && filter[0] == "#" {
		return true
	}
	if len(filter) == 0 || len(topic) == 0 {
		return len(filter) == len(topic)
	}
	return (filter[0] == "+" || filter[0] == topic[0]) && matchesLevels(filter[1:], topic[1:])
}

func FuzzMatches(f *testing.F) {
	for _, s := range [][2]string{
		{"a/#", "a"}, {"+/+", "/"}, {"#", "$SYS"}, {"a/+/#", "a/b"}, {"a//#", "a/"}, {"$a/+", "$a/$b"}, {"/", "/"}, {"+", "$"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if CheckFilter(filter) != nil || CheckTopic(topic) != nil {
			return
		}
		want := matchesLevels(strings.Split(filter, "/"), strings.Split(topic, "/"))
		if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
			want = false
		}
		if got := Matches(filter, topic); got != want {
			t.Errorf("Matches(%q, %q) = %v, want %v", filter, topic, got, want)
		}
	})
}
