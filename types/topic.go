package types

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxTopic is the longest topic name or filter, in bytes [MQTT-4.7.3-3].
const MaxTopic = 65535

// CheckTopic says whether a message may be published to topic; the error wraps
// ErrInvalidTopic and says what is wrong with it.
func CheckTopic(topic string) error {
	if strings.ContainsAny(topic, "+#") {
		return fmt.Errorf("%w %q: wildcards (+ and #) are for filters", ErrInvalidTopic, clip(topic))
	}
	return checkTopicBytes(topic)
}

// CheckNewTopic says whether a message on topic may be taken from whoever
// publishes it: as CheckTopic, and without the characters for which whoever
// receives them may close the connection [MQTT 3.1.1, 1.5.3]. A broker that does
// so would never let the messages behind it pass.
func CheckNewTopic(topic string) error {
	if err := CheckTopic(topic); err != nil {
		return err
	}
	for _, c := range topic {
		switch {
		case c < ' ', c >= 0x7f && c <= 0x9f:
			return fmt.Errorf("%w %q: it contains the control character %U, for which brokers close the connection", ErrInvalidTopic, clip(topic), c)
		case c&0xfffe == 0xfffe, c >= 0xfdd0 && c <= 0xfdef:
			return fmt.Errorf("%w %q: it contains %U, which is no character, and for which brokers close the connection", ErrInvalidTopic, clip(topic), c)
		}
	}
	return nil
}

// CheckFilter says whether filter is a valid topic filter [MQTT-4.7.1]; the
// error wraps ErrInvalidTopic.
func CheckFilter(filter string) error {
	if err := checkTopicBytes(filter); err != nil {
		return err
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) {
			return fmt.Errorf("%w filter %q: # must stand alone as the last level", ErrInvalidTopic, clip(filter))
		}
		if strings.Contains(level, "+") && level != "+" {
			return fmt.Errorf("%w filter %q: + must stand alone in its level", ErrInvalidTopic, clip(filter))
		}
	}
	return nil
}

func checkTopicBytes(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidTopic)
	case len(s) > MaxTopic:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrInvalidTopic, len(s), MaxTopic)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%w %q: it contains a NUL character", ErrInvalidTopic, clip(s))
	case !utf8.ValidString(s):
		return fmt.Errorf("%w %q: it is not valid UTF-8", ErrInvalidTopic, clip(s))
	}
	return nil
}

// Matches says whether a message on topic is selected by filter [MQTT-4.7.1].
// A filter that begins with a wildcard does not select topics that begin with
// $ [MQTT-4.7.2-1]. Both must be valid.
func Matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	for {
		f, frest, fmore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, trest, tmore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		switch {
		case !fmore && !tmore:
			return true
		case fmore && !tmore:
			return frest == "#" // "a/#" selects "a" too
		case !fmore:
			return false
		}
		filter, topic = frest, trest
	}
}

// clip shortens a topic for an error text.
func clip(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}
