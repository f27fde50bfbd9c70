//go:build !js

package prove

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/cmd/native/child"
)

const (
	patience   = 60 * time.Second // a run in which nothing happens for so long has failed
	quietTime  = time.Second      // after which it is asked whether anything is still to come
	lingerTime = 3 * time.Second  // what nobody has seen for so long is lost
	storeTime  = 5 * time.Second  // after which it is asked whether the store is in trouble
)

// errStore says that the disk of the scratch store does not do.
var errStore = errors.New("the gateway cannot store")

// play publishes, kills and cuts, until everything has arrived that will.
func (r *run) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer func() {
		cancel()
		work.Wait()
	}()
	worked, busy := make(chan error, 2), 2
	work.Go(func() { worked <- r.writer.run(ctx) })
	work.Go(func() { worked <- r.faults.run(ctx) })
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	last, since := standing{}, time.Now()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-r.listening.ended:
			return r.atBroker(err)
		case err := <-r.gateways.failed:
			return err
		case err := <-worked:
			if err != nil {
				return err
			}
			busy--
		case <-tick.C:
		}
		r.tell()
		if now := r.ledger.standing(); now != last {
			last, since = now, time.Now()
		}
		quiet := time.Since(since)
		if busy == 0 && r.empty(ctx) {
			return r.finish(ctx)
		}
		if quiet > patience {
			return r.stuck(ctx)
		}
		if quiet > quietTime {
			if err := r.wonder(ctx, quiet); err != nil {
				return err
			}
		}
	}
}

// wonder looks what is the matter when nothing has happened for a while.
func (r *run) wonder(ctx context.Context, quiet time.Duration) error {
	if text := r.gateways.trouble(ctx); text != "" && quiet > storeTime {
		return fmt.Errorf("%w: %s", errStore, text)
	}
	if r.empty(ctx) {
		return r.settle(ctx)
	}
	return nil
}

// tell says how far it is.
func (r *run) tell() {
	if r.Progress == nil {
		return
	}
	kills, cuts := r.faults.counts()
	r.Progress(Progress{
		QoS: r.qos, Done: r.done + r.ledger.standing().arrived, Of: r.of,
		Kills: kills, OfKills: r.Kills, Cuts: cuts, OfCuts: r.Cuts,
	})
}

// empty says whether the gateway has sent all that it has, and knows it. Of what
// comes from the broker only a mark tells.
func (r *run) empty(ctx context.Context) bool {
	if r.Incoming {
		return true
	}
	s, err := r.gateways.status(ctx)
	return err == nil && s.Outgoing.Pending == 0 && !s.Outgoing.Unread
}

// settle finds out, when the gateway has sent all that it has, whether the broker
// has delivered that: what has not come before a mark that is published now will
// not come any more, and the writer does not have to wait for it.
func (r *run) settle(ctx context.Context) error {
	below := r.ledger.unacknowledged()
	if below <= r.ledger.standing().passed {
		return nil
	}
	if err := r.control.pass(ctx, r.listening); err != nil {
		return r.atBroker(err)
	}
	r.ledger.settle(below)
	return nil
}

// finish ends a gateway that has sent everything, in good order, and waits for what
// was published last.
func (r *run) finish(ctx context.Context) error {
	if !r.Incoming { // what comes from the broker still has to pass it
		if s, err := r.gateways.status(ctx); err == nil {
			r.books = &Books{s.Outgoing.Accepted, s.Outgoing.Sent}
		}
		if err := r.gateways.stop(); err != nil {
			return err
		}
	}
	if err := r.control.pass(ctx, r.listening); err != nil {
		return r.atBroker(err)
	}
	r.linger(ctx)
	r.tell()
	return nil
}

// linger waits for what is missing although a mark has overtaken it, as brokers
// let happen that do not keep the order.
func (r *run) linger(ctx context.Context) {
	for {
		changed := r.ledger.changed.next()
		if r.ledger.standing().arrived == r.Messages {
			return
		}
		select {
		case <-changed:
		case <-time.After(lingerTime):
			return
		case <-ctx.Done():
			return
		}
	}
}

// stuck says why nothing happens, as far as the gateway knows.
func (r *run) stuck(ctx context.Context) error {
	why := "it does not answer"
	if s, err := r.gateways.status(ctx); err == nil {
		why = fmt.Sprintf("it is %s with %d pending", s.State, s.Outgoing.Pending)
		for _, text := range []string{s.LastError, s.Hint, s.Outgoing.Trouble} {
			if text != "" {
				why += "; " + text
			}
		}
	}
	if line := child.LastLine(r.gateways.options.Log); line != "" {
		why += "; its last words: " + line
	}
	return fmt.Errorf("nothing has happened for %v. The gateway: %s", patience, why)
}

// verdict says how it stands.
func (r *run) verdict() Verdict {
	v := r.ledger.judge()
	v.QoS, v.Books, v.Incoming = r.qos, r.books, r.Incoming
	v.Kills, v.Cuts = r.faults.counts()
	faults := v.Kills + v.Cuts
	switch {
	case r.qos == 2:
		v.allowedCopies = 0 // a repetition of the writer is known as such
	case r.qos == 1 && r.Incoming:
		v.allowedCopies += faults * r.Backlog // what was on its way the broker sends again
	case r.qos == 1:
		v.allowedCopies += faults * r.Connection.Window
	case r.qos == 0:
		v.allowedCopies += faults * r.Connection.Window
		v.allowedLost = faults * r.Backlog
	}
	return v
}

// leave takes everything down, and removes the sessions at the broker. It returns
// what could not be removed there.
func (r *run) leave(ctx context.Context) (leftover []string) {
	r.gateways.kill()
	if r.listening != nil {
		r.listening.stop()
	}
	r.cutter.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if r.probe.link == nil {
		return nil // the broker never had us
	}
	r.probe.link.Close(false)
	for _, id := range r.sessions {
		if err := r.control.end(ctx, id); err != nil {
			leftover = append(leftover, fmt.Sprintf("the session of client %s may still be at the broker: %v", id, err))
		}
	}
	return leftover
}
