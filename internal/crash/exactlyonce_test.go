//go:build unix

package crash

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// exacting is a publisher at QoS 2 that goes on, on each connection, with what is not
// complete, in order [MQTT-4.4.0-1]: each of its messages is to be stored once.
type exacting struct {
	target  func(context.Context) (string, error)
	clean   bool // it has no session that is kept: the control
	changed pulse

	mu       sync.Mutex
	limit    int
	begun    int         // messages 1 to that were published
	complete int         // of these
	repeats  int         // PUBLISHes with DUP
	open     []exactness // the others, in order
}

// exactness is a message that is not complete.
type exactness struct {
	number   int
	recorded bool // PUBREC came
}

// exactIDs is so small that ids are used again and again.
const exactIDs = 50

func (e exactness) id() uint16 { return uint16(e.number%exactIDs + 1) }

func (p *exacting) run(ctx context.Context) {
	for ctx.Err() == nil {
		addr, err := p.target(ctx)
		if err != nil {
			return
		}
		c, _, err := connect(ctx, addr, "exacting", p.clean)
		if err != nil {
			pause(ctx, time.Millisecond)
			continue
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		p.talk(c)
		stop()
		c.Close()
		next := p.changed.next()
		if _, _, done := p.counts(); done {
			select {
			case <-next:
			case <-ctx.Done():
			}
		}
	}
}

func (p *exacting) publish(c *client, e exactness, flags byte) {
	id := e.id()
	c.w.Write(packet(publishType|4|flags, text("exact"), []byte{byte(id >> 8), byte(id)}, []byte(strconv.Itoa(e.number))))
}

// talk publishes until the connection breaks, or all is complete.
func (p *exacting) talk(c *client) {
	p.mu.Lock()
	for _, e := range p.open {
		if e.recorded {
			c.w.Write(ackPacket(pubrelType, e.id()))
			continue
		}
		p.repeats++
		p.publish(c, e, dupFlag)
	}
	p.mu.Unlock()
	for {
		p.mu.Lock()
		for len(p.open) < exactIDs/2 && p.begun < p.limit && (len(p.open) == 0 || p.begun-p.open[0].number < exactIDs-1) {
			p.begun++
			p.open = append(p.open, exactness{number: p.begun})
			p.publish(c, exactness{number: p.begun}, 0)
		}
		over := len(p.open) == 0
		p.mu.Unlock()
		if over || c.r.Buffered() == 0 && c.w.Flush() != nil {
			return
		}
		first, body, err := c.read()
		if err != nil {
			return
		}
		p.answered(c, first, binary.BigEndian.Uint16(body))
	}
}

func (p *exacting) answered(c *client, first byte, id uint16) {
	p.mu.Lock()
	i := slices.IndexFunc(p.open, func(e exactness) bool { return e.id() == id })
	switch {
	case i >= 0 && first == pubrecType:
		p.open[i].recorded = true
		c.w.Write(ackPacket(pubrelType, id))
	case i >= 0 && first == pubcompType:
		p.open = slices.Delete(p.open, i, i+1)
		p.complete++
	}
	p.mu.Unlock()
	p.changed.tell()
}

func (p *exacting) counts() (complete, repeats int, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete, p.repeats, p.complete == p.limit
}

// Guarantee 12: the gateway is killed again and again while a client publishes at QoS
// 2 to two connections: each message is in the queue of both once, in order. That
// this would be seen if it were not so a client without a kept session shows, which
// the standard has begin anew on each connection.
func TestQoS2PublisherKills(t *testing.T) {
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean session %v", clean), func(t *testing.T) {
			rng := choices(t)
			g := gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml", `data_dir: data
mqtt: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
connections:
  cloud: {broker: "mqtt://127.0.0.1:1"}
  fog: {broker: "mqtt://127.0.0.1:1"}
`))
			g.start()
			p := &exacting{target: g.target, clean: clean}
			ctx, cancel := context.WithCancel(t.Context())
			var over sync.WaitGroup
			over.Go(func() { p.run(ctx) })
			t.Cleanup(func() { cancel(); over.Wait() })
			const each = 300
			p.limit = each
			kills := run.kills/2 + 1
			if clean { // what it is to show needs the right moment
				kills *= 5
			}
			for range kills {
				before, _, _ := p.counts()
				goal := before + 1 + rng.IntN(each/2)
				await(t, &p.changed, "messages to be complete", func() bool { n, _, _ := p.counts(); return n >= goal })
				moment(odd(rng, 3*time.Millisecond))
				g.kill()
				g.start()
				p.mu.Lock()
				p.limit += each
				p.mu.Unlock()
				p.changed.tell()
			}
			await(t, &p.changed, "all messages to be complete", func() bool { _, _, done := p.counts(); return done })
			complete, repeats, _ := p.counts()
			wrong := 0
			for _, connection := range []string{connectionName, "fog"} {
				numbers := pendingNumbers(t, g, connection)
				extra := len(numbers) - complete
				if !clean && extra != 0 || extra < 0 {
					t.Errorf("%s has %d messages of %d", connection, len(numbers), complete)
				}
				for i, n := range numbers {
					if n != i+1 {
						wrong++
						if !clean {
							t.Errorf("%s has message %d at place %d", connection, n, i+1)
							break
						}
					}
				}
			}
			if clean && wrong == 0 {
				t.Error("nothing was stored twice: the check of the other is worth nothing")
			}
			t.Logf("%d messages, %d repeated with DUP, %d at another place than theirs", complete, repeats, wrong)
		})
	}
}

// pendingNumbers are the payloads of what is stored for a connection, in order.
func pendingNumbers(t *testing.T, g *gateway, connection string) (list []int) {
	t.Helper()
	for after := uint64(0); ; {
		answer, err := http.Get(fmt.Sprintf("http://%s/api/connections/%s/messages?after=%d&limit=1000", g.running.api, connection, after))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		var page []struct {
			Seq     uint64 `json:"seq"`
			Payload []byte `json:"payload"`
		}
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if len(page) == 0 {
			return list
		}
		for _, m := range page {
			n, err := strconv.Atoi(string(m.Payload))
			if err != nil {
				t.Fatal(err)
			}
			list, after = append(list, n), m.Seq
		}
	}
}
