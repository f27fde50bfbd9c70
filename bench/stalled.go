//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// others is how many clients publish beside the two that do as they should not.
const others = clients - 2

const subscriberID = "bench-sub"

// company is who is there beside the others.
type company int

const (
	nobodyElse company = iota
	healthy            // a subscriber that reads, and a publisher that reads its acknowledgements
	stalled            // two that never read
)

// stalledClients measures what the others lose by a subscriber and a publisher
// that do not read, where they had two that do.
func stalledClients(ctx context.Context, b *bench) error {
	for _, subscriber := range []struct {
		what    string
		session bool // one that is kept, and QoS 1; else QoS 0
	}{
		{"one subscriber and one publisher of 64 stalled", false},
		{"the same, the subscriber with a session that is kept", true},
	} {
		loads, growth, err := b.inTurns(ctx, subscriber.session)
		if err != nil {
			return err
		}
		alone, well, ill := loads[nobodyElse], loads[healthy], loads[stalled]
		b.report.add(row{
			what: subscriber.what + ": the others", target: "≥ 0.95 of what they had",
			measured: rates(ill).text(rate), beside: "with the two well: " + rates(well).text(rate), held: ratios(ill, well), least: 0.95,
		})
		b.report.add(row{
			what: subscriber.what + ": the gateway's memory", target: "grows by ≤ 8 MiB",
			measured: growth.text(mib), held: growth, most: 8 << 20,
		})
		b.report.cost("CPU per message of the others, all that the gateway does: "+subscriber.what,
			fmt.Sprintf("%s; with the two well %s; without the two %s, and %s of their rate",
				costs(ill).text(micros), costs(well).text(micros), costs(alone).text(micros), ratios(ill, alone).text(ratio)))
	}
	return nil
}

// inTurns lets the others publish to one gateway, in each company by turns. It
// returns also by how many bytes the gateway grew while two were stalled.
func (b *bench) inTurns(ctx context.Context, session bool) (loads map[company][]load, growth sample, err error) {
	dir, err := os.MkdirTemp(b.dir, "stalled")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	g, err := startGateway(ctx, b.binary, dir, nobody, never)
	if err != nil {
		return nil, nil, err
	}
	defer g.kill()
	loads = make(map[company][]load)
	for range b.rounds {
		for with := nobodyElse; with <= stalled; with++ {
			l, grown, err := b.publishInCompany(g, with, session)
			if err != nil {
				return nil, nil, err
			}
			loads[with] = append(loads[with], l)
			if with == stalled {
				growth = append(growth, grown)
			}
		}
	}
	return loads, growth, nil
}

// publishInCompany lets the others publish for a while, once what stalls has
// filled all buffers.
func (b *bench) publishInCompany(g *gateway, with company, session bool) (l load, growth float64, err error) {
	if with != nobodyElse {
		p, joined := joinPair(g.mqtt, with, session)
		if joined != nil {
			return l, 0, joined
		}
		defer func() { err = errors.Join(err, p.leave()) }()
	}
	if _, err := publishAll(g.mqtt, others, 20, forTime(b.length/2)); err != nil {
		return l, 0, err
	}
	before, err := memory(g.pid(), "VmRSS")
	if err != nil {
		return l, 0, err
	}
	used, err := processCPU(g.pid())
	if err != nil {
		return l, 0, err
	}
	began := time.Now()
	if l.messages, err = publishAll(g.mqtt, others, 20, forTime(b.length)); err != nil {
		return l, 0, err
	}
	l.took = time.Since(began)
	if l.cpu, err = processCPU(g.pid()); err != nil {
		return l, 0, err
	}
	l.cpu -= used
	after, err := memory(g.pid(), "VmRSS")
	return l, after - before, err
}

func rates(loads []load) (s sample) {
	for _, l := range loads {
		s = append(s, l.rate())
	}
	return s
}

func costs(loads []load) (s sample) {
	for _, l := range loads {
		s = append(s, l.cpuPer())
	}
	return s
}

// ratios compares the loads of each round.
func ratios(a, b []load) (s sample) {
	for i := range a {
		s = append(s, a[i].rate()/b[i].rate())
	}
	return s
}

// pair is a subscriber to everything and a publisher.
type pair struct {
	addr     string
	sub, pub *client
	leaving  chan struct{}
	done     sync.WaitGroup
}

func joinPair(addr string, how company, session bool) (*pair, error) {
	p := &pair{addr: addr, leaving: make(chan struct{})}
	var err error
	if p.sub, err = connectAs(addr, subscriberID, !session); err != nil {
		return nil, err
	}
	qos := byte(0)
	if session {
		qos = 1
	}
	if err = p.sub.subscribeAt("site1/#", qos); err != nil {
		return nil, errors.Join(err, p.sub.conn.Close())
	}
	if p.pub, err = connectAs(addr, "bench-pub", true); err != nil {
		return nil, errors.Join(err, p.sub.conn.Close())
	}
	if how == stalled {
		p.done.Go(func() { flood(p.pub.conn) })
		return p, nil
	}
	p.done.Go(func() { takeAll(p.sub) })
	p.done.Go(func() {
		// It ends with its connection at the latest.
		_, _ = p.pub.publish(topic(0), 20, func() bool {
			select {
			case <-p.leaving:
				return false
			default:
				return true
			}
		})
	})
	return p, nil
}

// leave ends the pair, and what was stored for it.
func (p *pair) leave() error {
	close(p.leaving)
	p.sub.conn.Close()
	p.pub.conn.Close()
	p.done.Wait()
	c, err := connectAs(p.addr, subscriberID, true)
	if err != nil {
		return err
	}
	return c.conn.Close()
}

// flood publishes as much as the connection takes, and reads nothing.
func flood(conn net.Conn) {
	always := func() bool { return true }
	for {
		p := publisher{topic: topic(0), window: 100, more: always}
		if _, err := conn.Write(p.refill(nil)); err != nil {
			return // the connection was closed
		}
	}
}

// takeAll reads messages, and acknowledges those at QoS 1, until the connection
// ends.
func takeAll(c *client) {
	out := bufio.NewWriter(c.conn)
	for {
		first, err := c.in.ReadByte()
		if err != nil {
			return
		}
		size, err := varint(c.in)
		if err != nil {
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(c.in, body); err != nil {
			return
		}
		if first&6 == 2 {
			id := 2 + int(body[0])<<8 + int(body[1])
			_, _ = out.Write([]byte{0x40, 2, body[id], body[id+1]})
		}
		if c.in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

// varint reads a remaining length.
func varint(in io.ByteReader) (n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if n |= int(b&127) << shift; b < 128 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("a length of more than four bytes")
}
