package loopback

import (
	"errors"
	"time"
)

// faults is what the broker does wrong at present.
type faults struct {
	delay     time.Duration
	cutAfter  int
	down      bool
	frozen    bool
	withhold  bool
	reorder   bool
	duplicate float64
	refuse    byte
	reject    string
	users     map[string]string
}

// Delay lets everything that the broker says arrive this much later.
func (b *Broker) Delay(d time.Duration) { b.set(func(f *faults) { f.delay = d }) }

// CutAfter cuts each link that is dialed from now on with its nth packet: by
// chance the broker has seen that one or not, and its answers to the packets
// that came together with it arrive up to some point. 0 cuts no more.
func (b *Broker) CutAfter(n int) { b.set(func(f *faults) { f.cutAfter = n }) }

// Reject cuts each link over which something is published to a topic that the
// filter selects, as brokers do that do not take a message; answers to earlier
// messages may be lost with it. "" rejects nothing.
func (b *Broker) Reject(filter string) { b.set(func(f *faults) { f.reject = filter }) }

// Refuse answers CONNECT with this code, until it is set to 0.
func (b *Broker) Refuse(code byte) { b.set(func(f *faults) { f.refuse = code }) }

// Reorder mixes the acknowledgements that leave together, as brokers with
// several threads do.
func (b *Broker) Reorder(on bool) { b.set(func(f *faults) { f.reorder = on }) }

// Duplicate sends messages of QoS 1 and 2 to subscribers a second time, with
// DUP, at this rate (0 to 1).
func (b *Broker) Duplicate(rate float64) { b.set(func(f *faults) { f.duplicate = rate }) }

// Require refuses everybody but this user and those of other calls.
func (b *Broker) Require(username, password string) {
	b.set(func(f *faults) {
		if f.users == nil {
			f.users = make(map[string]string)
		}
		f.users[username] = password
	})
}

// Down cuts all links and refuses to be dialed, as a broker that died. Sessions
// survive it.
func (b *Broker) Down() {
	b.set(func(f *faults) { f.down = true })
	b.Cut()
}

// Up ends Down.
func (b *Broker) Up() { b.set(func(f *faults) { f.down = false }) }

// Cut cuts all links, as a network that fails.
func (b *Broker) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links() {
		l.end(errors.New("the loopback broker cut the link"), true)
	}
}

// Freeze stops reading and answering; what clients send waits.
func (b *Broker) Freeze() { b.set(func(f *faults) { f.frozen = true }) }

// Thaw ends Freeze.
func (b *Broker) Thaw() {
	b.set(func(f *faults) { f.frozen = false })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links() {
		l.catchUp()
	}
}

// Withhold takes messages and answers none of them; when it ends, the answers
// leave that are still owed on links that are still up.
func (b *Broker) Withhold(on bool) {
	b.set(func(f *faults) { f.withhold = on })
	if on {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links() {
		owed := l.owed
		l.owed = nil
		l.acknowledge(owed)
	}
}

// Forget loses all sessions whose client is not connected.
func (b *Broker) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, s := range b.sessions {
		if s.link == nil {
			delete(b.sessions, id)
		}
	}
}

func (b *Broker) set(change func(*faults)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.faults)
	b.change()
}
