package protocol

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Settings are the arguments of a driver.
type Settings struct {
	Dir      string
	Broker   string // tcp://host:port
	ClientID string
}

// Queue is what a driver drives: a product that stores messages and sends them
// when its broker is there. Its methods but Enqueue are called one at a time.
type Queue interface {
	// Enqueue hands a message over. The product has kept its best promise when it
	// returns, or when the function does that it returned, which is called once.
	// Producers call it concurrently, each with one message after the other. It
	// does not keep payload.
	Enqueue(ctx context.Context, topic string, payload []byte) (stored func() error, err error)

	// Pending is how many messages wait, -1 if the product cannot tell.
	Pending() int

	// Close ends in good order.
	Close(ctx context.Context) error
}

// Main is all that a driver does: it serves what open opens until it is told to
// close, and then ends the process.
func Main(open func(context.Context, Settings) (Queue, error)) {
	var s Settings
	flag.StringVar(&s.Dir, "dir", "", "where the data goes")
	flag.StringVar(&s.Broker, "broker", "", "tcp://host:port")
	flag.StringVar(&s.ClientID, "client-id", "", "of the session with the broker")
	flag.Parse()
	if s.Dir == "" || s.Broker == "" || s.ClientID == "" {
		log.Fatal("a driver wants --dir, --broker and --client-id")
	}
	if err := Serve(context.Background(), os.Stdin, os.Stdout, func(ctx context.Context) (Queue, error) { return open(ctx, s) }); err != nil {
		log.Fatal(err)
	}
}

// Serve carries out the orders of in until one says close. An end of in before
// that is an error.
func Serve(ctx context.Context, in io.Reader, out io.Writer, open func(context.Context) (Queue, error)) error {
	s := server{open: open}
	answers := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var o Order
		var a Answer
		err := json.Unmarshal(lines.Bytes(), &o)
		if err == nil {
			a, err = s.obey(ctx, o)
		}
		if err != nil {
			a = Answer{Error: err.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if o.Do == "close" && err == nil {
			return nil
		}
	}
	return errors.New("the orders ended without a close")
}

type server struct {
	open  func(context.Context) (Queue, error)
	queue Queue
}

func (s *server) obey(ctx context.Context, o Order) (Answer, error) {
	if s.queue == nil && o.Do != "open" {
		return Answer{}, errors.New("nothing is open")
	}
	switch o.Do {
	case "open":
		if s.queue != nil {
			return Answer{}, errors.New("it is open")
		}
		q, err := s.open(ctx)
		if err != nil {
			return Answer{}, err
		}
		s.queue = q
		n := q.Pending()
		return Answer{OK: true, Pending: &n}, nil
	case "enqueue":
		return enqueue(ctx, s.queue, o)
	case "pending":
		n := s.queue.Pending()
		return Answer{Pending: &n}, nil
	case "close":
		return Answer{OK: true}, s.queue.Close(ctx)
	}
	return Answer{}, fmt.Errorf("there is no order %q", o.Do)
}

// enqueue lets the producers of o publish.
func enqueue(ctx context.Context, q Queue, o Order) (Answer, error) {
	if o.Producers < 1 || o.Window < 1 || (o.First != nil && len(o.First) != o.Producers) {
		return Answer{}, fmt.Errorf("%d producers with a window of %d and %d first numbers cannot be", o.Producers, o.Window, len(o.First))
	}
	var given atomic.Int64
	began := time.Now()
	more := func() bool {
		return (o.Messages == 0 || given.Add(1) <= int64(o.Messages)) && (o.Seconds == 0 || time.Since(began).Seconds() < o.Seconds)
	}
	producers := make([]producer, o.Producers)
	var all sync.WaitGroup
	for i := range producers {
		p := &producers[i]
		p.queue, p.number, p.window = q, i, o.Window
		if o.First != nil {
			p.next = o.First[i]
		}
		all.Go(func() { p.err = p.publish(ctx, more) })
	}
	all.Wait()
	a := Answer{Seconds: time.Since(began).Seconds()}
	var times Latencies
	for _, p := range producers {
		if p.err != nil {
			return Answer{}, p.err
		}
		a.Stored += p.stored
		a.Next = append(a.Next, p.next)
		times = append(times, p.times...)
	}
	a.P50, a.P99 = times.At(0.5), times.At(0.99)
	return a, nil
}

// producer hands messages over, one after the other.
type producer struct {
	queue  Queue
	number int
	window int
	next   uint64
	stored int
	times  Latencies
	err    error
}

// handed is a message whose storing is not acknowledged yet.
type handed struct {
	stored func() error
	when   time.Time
}

func (p *producer) publish(ctx context.Context, more func() bool) error {
	payload, topic := make([]byte, Size), Topic(p.number)
	var waiting []handed
	settle := func() error {
		h := waiting[0]
		waiting = waiting[1:]
		if err := h.stored(); err != nil {
			return err
		}
		p.stored++
		p.times.Add(time.Since(h.when))
		return nil
	}
	for more() {
		if len(waiting) == p.window {
			if err := settle(); err != nil {
				return err
			}
		}
		Fill(payload, p.number, p.next)
		when := time.Now()
		stored, err := p.queue.Enqueue(ctx, topic, payload)
		if err != nil {
			return err
		}
		p.next++
		if stored == nil {
			p.stored++
			p.times.Add(time.Since(when))
			continue
		}
		waiting = append(waiting, handed{stored, when})
	}
	for len(waiting) > 0 {
		if err := settle(); err != nil {
			return err
		}
	}
	return nil
}
