//go:build !js

// Package prove demonstrates what the gateway promises, on the user's own disk
// and at the user's own broker: it gives numbered messages with checksums to a
// gateway of its own, kills that again and again, cuts its link to the broker, and
// has a subscriber at the broker count what arrives.
//
//	writer ──PUBLISH──▶ gateway, a process ──▶ cutter ──▶ broker ──▶ subscriber
//	       ◀──PUBACK───  on a scratch store
//
// Of what comes from the broker writer and subscriber change places.
//
// The gateway is this program, started with a scratch store and a configuration
// that has nothing of the user's but the way to the broker. Writer, subscriber and
// ledger know nothing of it; they share the coding of packets with it, no more.
package prove

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Options say what is proven, where.
type Options struct {
	// Connection is the way to the broker: its defaults are set and its paths
	// absolute. Of a list of brokers the first is used; routes, birth, close and
	// will are not.
	Connection config.Connection

	DataDir string // the scratch store lies beside it,
	Dir     string // or in here, if this is not ""

	// QoS are the qualities of service that are proven, one after the other; empty:
	// 2 and 1, as far as the broker and the connection do them.
	QoS []types.QoS

	Messages int // for each QoS; at least 1
	Kills    int // of the gateway, for each QoS
	Cuts     int // of its link, for each QoS

	// Incoming has the way of messages from the broker proven, to a subscriber at
	// the gateway that has a persistent session, instead of that to the broker. It is
	// for QoS 1 and 2.
	Incoming bool

	// Backlog is how many messages may be on their way to the subscriber. Brokers
	// drop what they have queued for a client beyond some bound, 1,000 messages
	// with most of them, and that would look like a loss. 0: 500.
	Backlog int

	Topic    string // topics begin with it; "": mqttdb-prove
	ClientID string // client ids begin with it; "": mqttdb-prove
	Keep     bool   // the scratch store stays

	// Program is the gateway; "": this program.
	Program string

	// Progress, if set, is told several times a second how far it is.
	Progress func(Progress)

	// For tests: what lies between writer and gateway, and between gateway and
	// broker.
	toGateway func(dialer) dialer
	toBroker  func(ctx context.Context, addr string) (broker.Conn, error)
}

// Progress is how far a proof is.
type Progress struct {
	QoS             types.QoS
	Done, Of        int // messages that arrived, of all, for all QoS
	Kills, Cuts     int // done, for this QoS
	OfKills, OfCuts int
}

// Report is what was proven.
type Report struct {
	Broker   string // for people to read
	Store    string // the scratch directory
	Kept     bool   // it is still there
	Sync     string // how it was synced
	Verdicts []Verdict
	Unfit    []Unfit
	Leftover []string // what could not be cleaned up, and how to
}

// Unfit is a QoS that was not tried, and why.
type Unfit struct {
	QoS    types.QoS
	Reason string
}

const (
	defaultBacklog = 500
	defaultName    = "mqttdb-prove"
	cleanupTime    = 5 * time.Second
)

// Run runs the proof. Whatever happens, what it made on the disk and at the broker
// is gone when it returns, but for the scratch store of a proof that failed or that
// is to be kept. The report has what was found out until an error.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	o.defaults()
	p := &proof{Options: o, report: &Report{Broker: o.Connection.Endpoint(), Sync: o.Connection.Sync.String()}}
	var id [4]byte
	rand.Read(id[:]) // never fails
	p.id = hex.EncodeToString(id[:])
	if p.dir, err = makeScratch(o.DataDir, o.Dir); err != nil {
		return p.report, err
	}
	p.report.Store = p.dir
	defer func() { err = errors.Join(err, p.clear()) }()
	wanted := o.QoS
	if len(wanted) == 0 {
		wanted = []types.QoS{2, 1}
	}
	p.of = len(wanted) * o.Messages
	for _, qos := range wanted {
		err := p.prove(ctx, qos)
		var unfit *UnfitError
		switch {
		case err == nil:
		case errors.As(err, &unfit) && len(o.QoS) == 0 && qos > 1: // the next one may do
			p.of -= o.Messages
			p.report.Unfit = append(p.report.Unfit, Unfit{qos, unfit.Reason})
		default:
			return p.report, err
		}
	}
	return p.report, nil
}

func (o *Options) defaults() {
	if o.Backlog == 0 {
		o.Backlog = defaultBacklog
	}
	if o.Topic == "" {
		o.Topic = defaultName
	}
	if o.ClientID == "" {
		o.ClientID = defaultName
	}
	o.Connection.Failover = nil
}

// proof is one call of Run.
type proof struct {
	Options
	report *Report
	id     string // in topics and client ids
	dir    string // the scratch directory
	done   int    // messages of earlier QoS
	of     int    // messages of all
	failed bool   // the scratch store is worth a look
}

// prove proves one QoS.
func (p *proof) prove(ctx context.Context, qos types.QoS) (err error) {
	if most := p.Connection.MaxQoS.Of(2); qos > most {
		return unfit("the connection has max_qos %d and uses no QoS %d", most, qos)
	}
	r, err := newRun(p, qos)
	if err != nil {
		return err
	}
	defer func() { p.report.Leftover = append(p.report.Leftover, r.leave(ctx)...) }()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	began := time.Now()
	err = r.play(ctx)
	v := r.verdict()
	v.Took, v.Incomplete = time.Since(began), err != nil
	p.report.Verdicts = append(p.report.Verdicts, v)
	p.done += p.Messages
	switch {
	case v.Proven() && !p.Keep:
		return r.remove() // the next one may need the room
	case !v.Proven() && ctx.Err() == nil && !errors.Is(err, errStore):
		p.failed = true
	}
	return err
}

// clear removes the scratch store, unless it is to be looked at.
func (p *proof) clear() error {
	if p.Keep || p.failed {
		p.report.Kept = true
		return nil
	}
	return removeScratch(p.dir)
}
