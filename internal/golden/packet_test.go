package golden

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// Packets as conversations write them, several with a comma between them:
//
//	PUBLISH ID [qos0|qos1|qos2] [dup] [retain] TOPIC PAYLOAD
//	PUBACK ID | PUBREC ID | PUBREL ID | PUBCOMP ID | SUBACK ID CODE… | UNSUBACK ID
//	CONNECT … | SUBSCRIBE ID FILTER/QOS… | UNSUBSCRIBE ID FILTER… | DISCONNECT, by the gateway
//	raw HEX…
//
// With the code under test this shares nothing.
const (
	connect  = 1
	publish  = 3
	pingreq  = 12
	pingresp = 13

	disconnect = 14
)

var names = map[byte]string{
	4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 14: "DISCONNECT",
}

func readPacket(r io.Reader) (first byte, body []byte, err error) {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, nil, err
	}
	first = b[0]
	n := 0
	for shift := 0; ; shift += 7 {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, nil, err
		}
		n |= int(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			break
		}
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return first, body, err
}

// show writes a packet of the gateway as a text.
func show(first byte, body []byte) string {
	kind, flags := first>>4, first&0x0f
	switch kind {
	case connect:
		return showConnect(body)
	case publish:
		return showPublish(flags, body)
	}
	name := names[kind]
	if name == "" || kind != disconnect && len(body) < 2 {
		return fmt.Sprintf("raw %02x %x", first, body)
	}
	want := byte(0)
	if kind == 6 || kind == 8 || kind == 10 { // [MQTT-2.2.2-1]
		want = 2
	}
	text := name
	if flags != want {
		text += fmt.Sprintf(" with flags %04b", flags)
	}
	if kind == disconnect {
		return text
	}
	text += fmt.Sprint(" ", binary.BigEndian.Uint16(body))
	for rest := body[2:]; len(rest) > 0; {
		filter, after := cutText(rest)
		rest = after
		text += " " + filter
		if kind == 8 {
			text += fmt.Sprint("/", rest[0])
			rest = rest[1:]
		}
	}
	return text
}

func showConnect(body []byte) string {
	protocol, rest := cutText(body)
	level, flags := rest[0], rest[1]
	id, _ := cutText(rest[4:])
	text := fmt.Sprintf("CONNECT %s %d, client %s", protocol, level, id)
	if flags&2 != 0 {
		text += ", clean"
	}
	if flags&4 != 0 {
		text += ", with a will"
	}
	return text
}

func showPublish(flags byte, body []byte) string {
	topic, rest := cutText(body)
	id := uint16(0)
	qos := flags >> 1 & 3
	if qos > 0 {
		id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	text := fmt.Sprintf("PUBLISH %d qos%d", id, qos)
	if flags&8 != 0 {
		text += " dup"
	}
	if flags&1 != 0 {
		text += " retain"
	}
	return text + " " + topic + " " + string(rest)
}

func cutText(b []byte) (text string, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(b))
	return string(b[2:n]), b[n:]
}

func connack(present bool, code int) []byte {
	flag := byte(0)
	if present {
		flag = 1
	}
	return []byte{0x20, 2, flag, byte(code)}
}

// parsePackets returns the bytes of packets that the broker sends.
func parsePackets(t *testing.T, text string) []byte {
	var all []byte
	for one := range strings.SplitSeq(text, ",") {
		words := strings.Fields(one)
		if len(words) < 2 {
			t.Fatalf("%q is no packet", one)
		}
		if words[0] == "raw" {
			b, err := hex.DecodeString(strings.Join(words[1:], ""))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
			continue
		}
		id := binary.BigEndian.AppendUint16(nil, uint16(number(t, words[1])))
		if words[0] == "PUBLISH" {
			all = append(all, parsePublish(t, id, words[2:])...)
			continue
		}
		first := byte(0)
		for kind, name := range names {
			if name == words[0] {
				first = kind << 4
			}
		}
		switch first {
		case 0:
			t.Fatalf("%q is no packet", one)
		case 0x60:
			first |= 2
		}
		body := id
		for _, code := range words[2:] {
			body = append(body, byte(number(t, code)))
		}
		all = append(all, frame(first, body)...)
	}
	return all
}

func parsePublish(t *testing.T, id []byte, words []string) []byte {
	first := byte(publish << 4)
	for len(words) > 0 {
		flag, ok := map[string]byte{"qos0": 0, "qos1": 2, "qos2": 4, "dup": 8, "retain": 1}[words[0]]
		if !ok {
			break
		}
		first |= flag
		words = words[1:]
	}
	if len(words) == 0 {
		t.Fatal("PUBLISH without a topic")
	}
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(words[0]))), words[0]...)
	if first&6 != 0 {
		body = append(body, id...)
	}
	payload := strings.Join(words[1:], " ")
	if times, text, ok := strings.Cut(payload, "*"); ok { // 1000*x
		payload = strings.Repeat(text, number(t, times))
	}
	return frame(first, append(body, payload...))
}

// frame puts a fixed header before a body.
func frame(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func number(t *testing.T, text string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "id"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
