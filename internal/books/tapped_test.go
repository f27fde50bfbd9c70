package books

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// stored is what the stores of this project can do.
type stored interface {
	persistence.Queue
	persistence.Compacter
	persistence.Roomy
	persistence.Prober
	persistence.DeadReader
	persistence.SentReader
	persistence.Expirer
}

// process is one life of a gateway: it can die at a call of its store.
type process struct {
	medium medium
	flaw   func(stored) stored // nil: none

	mu    sync.Mutex
	after int        // so many calls it dies; 0: it does not
	power *rand.Rand // it is a power cut; nil: a kill
	dead  bool
	err   error // it could not die
}

var errDead = errors.New("the process is dead")

// die has it die with the n-th call of the store from now on, 0: now.
func (p *process) die(n int, power *rand.Rand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.after, p.power = n, power; n == 0 {
		p.end()
	}
}

func (p *process) end() {
	if !p.dead {
		p.dead = true
		p.err = p.medium.crash(p.power)
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// call does something with the store, unless the process is dead by then. If it dies
// with that it may be done.
func (p *process) call(do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return &types.StoreError{Op: "use", Queue: queueName, Err: errDead}
	}
	if p.after == 0 {
		return do()
	}
	p.after--
	if p.after > 0 {
		return do()
	}
	_ = do()
	p.end()
	return &types.StoreError{Op: "use", Queue: queueName, Err: errDead}
}

func (p *process) open(ctx context.Context) (persistence.Queue, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil, errDead
	}
	q, err := p.medium.open(ctx)
	if err != nil {
		return nil, err
	}
	of := q.(stored)
	if p.flaw != nil {
		of = p.flaw(of)
	}
	return &tapped{of, p}, nil
}

// tapped is a queue of a process that can die.
type tapped struct {
	stored
	p *process
}

func (q *tapped) Write(ctx context.Context, c persistence.Commit) (first types.Seq, err error) {
	err = q.p.call(func() (err error) { first, err = q.stored.Write(ctx, c); return err })
	return first, err
}

// Sync is called beside the others: the death of the process need not wait for it.
func (q *tapped) Sync(ctx context.Context) error {
	if q.p.isDead() {
		return errDead
	}
	err := q.stored.Sync(ctx)
	if q.p.isDead() { // by a power cut before it was done, for all that is known
		return errDead
	}
	return err
}

func (q *tapped) Compact(ctx context.Context, most int64) (did persistence.Compaction, err error) {
	err = q.p.call(func() (err error) { did, err = q.stored.Compact(ctx, most); return err })
	return did, err
}

func (q *tapped) Close(ctx context.Context) error {
	return q.p.call(func() error { return q.stored.Close(ctx) })
}
