package listener

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// deepFilters is a SUBSCRIBE with n filters that share no level and have as many as
// are allowed: no other ones take as much memory for their bytes.
func deepFilters(version byte, client, n int) []byte {
	body := []byte{0, 1}
	if version == mqtt5 {
		body = append(body, 0)
	}
	for i := range n {
		body = append(append(body, str(fmt.Sprintf("%d-%d%s", client, i, strings.Repeat("/", types.MaxLevels-1)))...), 1)
	}
	return packet(0x82, body)
}

// What clients may subscribe to takes so much memory and no more, in all and each,
// and they are told.
func TestFiltersAreBounded(t *testing.T) {
	s, log := start(t, Options{Sink: &testSink{}})
	const each = 700
	before := heapInUse()
	all := 0
	var clients []*rawClient
	for i := range 6 {
		version, refusal := byte(mqtt311), byte(codeUnspecified)
		if i%2 == 1 {
			version, refusal = mqtt5, codeQuota
		}
		c := connectRaw(t, s, version, fmt.Sprint("c", i), "", 0)
		clients = append(clients, c)
		c.send(deepFilters(version, i, each))
		_, answer := c.read()
		codes := answer[len(answer)-each:]
		granted := bytes.Count(codes, []byte{1})
		if granted+bytes.Count(codes, []byte{refusal}) != each {
			t.Errorf("client %d: codes %x", i, codes)
		}
		if weight := granted * filterWeight(strings.Repeat("/", types.MaxLevels-1)); weight > maxFilterBytes {
			t.Errorf("client %d has %d filters", i, granted)
		}
		all += granted
	}
	log.wait(t, "a client has at most 10000 subscriptions")
	log.wait(t, "the subscriptions of all clients take 128 MiB")
	took := heapInUse() - before
	t.Logf("%d filters take %d MiB", all, took>>20)
	if took > maxSubscriptions*5/4 {
		t.Errorf("they take %d MiB", took>>20)
	}

	// Who has a subscription may have it again, and who gives some back makes room.
	c := clients[0]
	again := deepFilters(mqtt311, 0, 1)
	c.send(again)
	if _, answer := c.read(); answer[2] != 1 {
		t.Errorf("a subscription that is there was refused: %x", answer)
	}
	for _, c := range clients {
		c.Close()
	}
	until(t, s, "nobody", func(st Stats) bool { return st.Subscriptions == 0 })
	if n := s.topics.subscriptions.Nodes(); n != 0 || s.topics.filterBytes != 0 {
		t.Errorf("%d nodes and %d bytes are left of nothing", n, s.topics.filterBytes)
	}
	late := connectRaw(t, s, mqtt311, "late", "", 0)
	late.send(deepFilters(mqtt311, 9, 1))
	if _, answer := late.read(); answer[2] != 1 {
		t.Errorf("there is room, and it was refused: %x", answer)
	}
}

// So it is with sessions that are kept, whose filters are stored.
func TestStoredFiltersAreBounded(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	before := heapInUse()
	granted, refused := 0, 0
	for i := 0; refused == 0; i++ {
		c := h.connectKept(fmt.Sprint("c", i), false)
		const each = 100
		for n := range 5 { // as many as a client may have
			c.send(deepFilters(mqtt311, i*100+n, each))
			_, answer := c.read()
			granted += bytes.Count(answer[2:], []byte{1})
			refused += bytes.Count(answer[2:], []byte{codeUnspecified})
		}
		h.hangUp(c)
	}
	took := heapInUse() - before
	t.Logf("%d filters take %d MiB", granted, took>>20)
	if took > maxSubscriptions*3/2 {
		t.Errorf("they take %d MiB", took>>20)
	}
}
