//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// watchers is how many look at the status of a gateway at once.
const watchers = 200

// watched measures what publishers lose by those who look at the gateway's status: by
// watchers clients of its stream, and a scrape of its metrics each second.
func watched(ctx context.Context, b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "watched")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g, err := startGateway(ctx, b.binary, dir, nobody, never)
	if err != nil {
		return err
	}
	defer g.kill()
	var alone, looked []load
	var told, scraped sample
	length := 3 * b.length // of several scrapes
	if _, err := publishAll(g.mqtt, clients, 20, forTime(b.length)); err != nil {
		return err
	}
	for range b.rounds {
		l, err := g.published(length)
		if err != nil {
			return err
		}
		alone = append(alone, l)
		a, err := g.gather(ctx)
		if err != nil {
			return err
		}
		l, err = g.published(length)
		if err = errors.Join(err, a.leave()); err != nil {
			return err
		}
		looked = append(looked, l)
		told = append(told, float64(a.messages.Load())/watchers/length.Seconds())
		scraped = append(scraped, float64(a.scrapes)/length.Seconds())
	}
	b.report.add(row{
		what: fmt.Sprintf("listener, %d clients, window 20, with %d clients of the stream and a scrape each second", clients, watchers), target: "≥ 0.95 × nobody looks",
		measured: rates(looked).text(rate), beside: "nobody looks: " + rates(alone).text(rate), held: ratios(looked, alone), least: 0.95,
	})
	b.report.cost("CPU per message in, gateway, with those who look", costs(looked).text(micros)+"; without "+costs(alone).text(micros))
	b.report.cost("frames that each client of the stream was sent, per second", told.text(plain)+"; scrapes "+scraped.text(plain))
	return nil
}

// published has the clients of the bench publish for a while.
func (g *gateway) published(length time.Duration) (l load, err error) {
	used, err := processCPU(g.pid())
	if err != nil {
		return l, err
	}
	began := time.Now()
	if l.messages, err = publishAll(g.mqtt, clients, 20, forTime(length)); err != nil {
		return l, err
	}
	l.took = time.Since(began)
	now, err := processCPU(g.pid())
	l.cpu = now - used
	return l, err
}

// audience is who looks at a gateway.
type audience struct {
	conns    []net.Conn
	done     sync.WaitGroup
	stop     context.CancelFunc
	messages atomic.Int64 // frames that came
	scrapes  int
	failed   error // of a scrape
}

// gather lets clients follow the stream and scrape. They take as little time as they
// can: nothing that comes is decoded.
func (g *gateway) gather(ctx context.Context) (*audience, error) {
	ctx, stop := context.WithCancel(ctx)
	a := &audience{stop: stop}
	for range watchers {
		conn, in, err := g.follow()
		if err != nil {
			return nil, errors.Join(err, a.leave())
		}
		a.conns = append(a.conns, conn)
		a.done.Go(func() { a.count(in) })
	}
	a.done.Go(func() {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for a.failed == nil {
			if a.failed = g.scrape(ctx); a.failed == nil {
				a.scrapes++
			}
			select {
			case <-second.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return a, nil
}

// count counts frames until the connection is closed.
func (a *audience) count(in *bufio.Reader) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		length, more := int(head[1]&0x7f), 0
		switch length {
		case 126:
			more = 2
		case 127:
			more = 8
		}
		if more > 0 {
			length = 0
		}
		for range more {
			c, err := in.ReadByte()
			if err != nil {
				return
			}
			length = length<<8 | int(c)
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		a.messages.Add(1)
	}
}

// leave ends all of it.
func (a *audience) leave() error {
	a.stop()
	for _, c := range a.conns {
		c.Close()
	}
	a.done.Wait()
	if errors.Is(a.failed, context.Canceled) {
		return nil
	}
	return a.failed
}

// follow connects a client of the stream, and returns what comes behind the answer to
// its upgrade.
func (g *gateway) follow() (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("tcp", g.http)
	if err != nil {
		return nil, nil, err
	}
	ask := strings.Join([]string{
		"GET /api/stream HTTP/1.1", "Host: " + g.http, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", "",
	}, "\r\n")
	in := bufio.NewReader(conn)
	if _, err = io.WriteString(conn, ask); err == nil {
		var res *http.Response
		if res, err = http.ReadResponse(in, nil); err == nil && res.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("GET /api/stream: %s", res.Status)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, in, nil
}

func (g *gateway) scrape(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.http+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New("GET /metrics: " + res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// wakeUps is how often the threads of a process have gone to sleep or were sent to.
func wakeUps(pid int) (n int64, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		status := fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name())
		for _, name := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
			v, err := strconv.ParseInt(field(status, name), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", status, err)
			}
			n += v
		}
	}
	return n, nil
}

// sleeping measures how often a gateway wakes up that is connected and has nothing to do.
func sleeping(ctx context.Context, b *bench, broker string) error {
	dir, err := os.MkdirTemp(b.dir, "sleeping")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g, err := startGateway(ctx, b.binary, dir, broker, never)
	if err != nil {
		return err
	}
	defer g.kill()
	const settle = 5 * time.Second
	length := 30 * b.length
	var perSecond sample
	before, from := int64(0), time.Time{}
	for i, wait := range []time.Duration{settle, length, length} {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := wakeUps(g.pid())
		if err != nil {
			return err
		}
		now := time.Now()
		if i > 0 {
			perSecond = append(perSecond, float64(n-before)/now.Sub(from).Seconds())
		}
		before, from = n, now
	}
	b.report.add(row{
		what: "wake-ups per second of a gateway that is connected and idle", target: "≤ 5",
		measured: perSecond.text(plain), held: perSecond, most: 5,
	})
	return nil
}
