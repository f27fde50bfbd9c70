package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/storetest"
	"github.com/mqttdb/mqttdb/types"
)

// clocked is a place whose queue goes by a clock of its own.
type clocked struct {
	*place
	clock *storetest.Clock
}

func newClocked(t *testing.T) *clocked {
	p := &clocked{newPlace(t, 64<<10, false), storetest.NewClock()}
	p.close()
	p.open()
	return p
}

func (p *clocked) open() {
	p.t.Helper()
	var err error
	p.stopper = &stopper{Source: p.store.Source(name)}
	p.q, err = journal.Open(p.t.Context(), p.stopper, journal.Options{Name: name, SegmentSize: int64(p.size), Now: p.clock.Now})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *clocked) close() {
	p.t.Helper()
	if err := p.q.Close(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *clocked) put(payload string) {
	p.t.Helper()
	e := persistence.Entry{Message: types.Message{Topic: "t", Payload: []byte(payload)}, Enqueued: p.clock.Now()}
	if _, err := p.q.Write(p.t.Context(), persistence.Commit{Messages: []persistence.Entry{e}}); err != nil {
		p.t.Fatal(err)
	}
}

// wants says how old the messages are to be. They may seem older by some
// milliseconds, and never younger.
func (p *clocked) wants(ages ...time.Duration) {
	p.t.Helper()
	records, err := p.q.Read(p.t.Context(), nil, 0, persistence.Limit{})
	if err != nil || len(records) != len(ages) {
		p.t.Fatalf("%d messages, %v", len(records), err)
	}
	now := p.clock.Now()
	for i, r := range records {
		if age := now.Sub(r.Since); age < ages[i] || age > ages[i]+5*time.Millisecond {
			p.t.Errorf("number %d is %v old, want %v", r.Seq, age, ages[i])
		}
	}
}

// S7.7: age goes by the monotonic clock, whatever the wall clock is set to, also
// across restarts; what lies between those the wall clock says, within bounds.
func TestAge(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		name   string
		run    func(p *clocked)
		want   []time.Duration
		unsure bool
	}{
		{"time passes", func(p *clocked) { p.clock.Advance(hour) }, []time.Duration{hour}, false},
		{"set forward", func(p *clocked) { p.clock.Set(5 * hour); p.clock.Advance(time.Minute) }, []time.Duration{time.Minute}, false},
		{"set back", func(p *clocked) { p.clock.Advance(time.Minute); p.clock.Set(-5 * hour) }, []time.Duration{time.Minute}, false},
		{"set between messages", func(p *clocked) {
			p.clock.Set(-5 * hour)
			p.clock.Advance(hour)
			p.put("b")
			p.clock.Set(9 * hour)
			p.clock.Advance(hour)
			p.put("c")
			p.clock.Advance(time.Minute)
		}, []time.Duration{2*hour + time.Minute, hour + time.Minute, time.Minute}, false},
		{"closed for a while", func(p *clocked) {
			p.clock.Advance(hour)
			p.close()
			p.clock.Advance(2 * hour)
			p.open()
			p.clock.Advance(time.Minute)
		}, []time.Duration{3*hour + time.Minute}, false},
		{"killed", func(p *clocked) {
			p.clock.Advance(hour)
			p.put("b")
			p.kill()
			p.clock.Advance(2 * hour)
			p.open()
		}, []time.Duration{3 * hour, 2 * hour}, false},
		{"set and closed", func(p *clocked) {
			p.clock.Set(-7 * hour)
			p.clock.Advance(hour)
			p.close()
			p.clock.Advance(2 * hour)
			p.open()
			p.clock.Set(7 * hour)
		}, []time.Duration{3 * hour}, false},
		{"set and killed", func(p *clocked) {
			p.clock.Set(-7 * hour)
			p.clock.Advance(hour)
			p.put("b")
			p.clock.Advance(time.Minute)
			p.kill()
			p.clock.Advance(2 * hour)
			p.open()
		}, []time.Duration{3*hour + time.Minute, 2*hour + time.Minute}, false},
		{"set forward while closed", func(p *clocked) {
			p.close()
			p.clock.Set(3 * hour)
			p.open()
		}, []time.Duration{3 * hour}, false},
		{"set back while closed", func(p *clocked) {
			p.clock.Advance(hour)
			p.close()
			p.clock.Set(-3 * hour)
			p.open()
			p.clock.Advance(time.Minute)
		}, []time.Duration{hour + time.Minute}, true},
		{"closed for more than 30 days", func(p *clocked) {
			p.clock.Advance(hour)
			p.close()
			p.clock.Advance(31 * 24 * hour)
			p.open()
		}, []time.Duration{hour}, true},
		{"rewritten", func(p *clocked) {
			for i := range 100 {
				p.clock.Set(time.Duration(i%7-3) * hour)
				p.put("more")
			}
			if _, err := p.q.Write(p.t.Context(), persistence.Commit{Done: []persistence.Done{{Range: persistence.Range{First: 3, Last: 101}, Reason: types.Sent}}}); err != nil {
				p.t.Fatal(err)
			}
			for more := true; more; {
				did, err := p.q.(persistence.Compacter).Compact(p.t.Context(), 1<<20)
				if err != nil {
					p.t.Fatal(err)
				}
				more = did.More
			}
			p.clock.Advance(hour)
			p.close()
			p.clock.Advance(hour)
			p.open()
		}, []time.Duration{2 * hour, 2 * hour}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newClocked(t)
			p.put("a")
			c.run(p)
			p.wants(c.want...)
			if got := p.q.State().DowntimeUnknown; got != c.unsure {
				t.Errorf("it is not known how long it was closed: %t", got)
			}
		})
	}
}

// What was accepted before it came here is as old as that says.
func TestAgeOfWhatWaitedElsewhere(t *testing.T) {
	p := newClocked(t)
	waited := []time.Duration{0, time.Hour, 29 * 24 * time.Hour}
	for i, d := range append(waited, 31*24*time.Hour, -time.Hour) { // of the last two nothing is believed
		e := persistence.Entry{Message: types.Message{Topic: "t", Payload: fmt.Append(nil, i)}, Enqueued: p.clock.Now().Add(-d)}
		if _, err := p.q.Write(t.Context(), persistence.Commit{Messages: []persistence.Entry{e}}); err != nil {
			t.Fatal(err)
		}
	}
	p.wants(append(waited, 0, 0)...)
	p.kill()
	p.open()
	p.wants(append(waited, 0, 0)...)
}
