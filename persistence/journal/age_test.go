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

// expired goes through everything that has expired, and says how often it asked.
func (p *clocked) expired(maxAge time.Duration) (found persistence.Ranges, next time.Duration, calls int) {
	p.t.Helper()
	soonest := time.Time{}
	for after := types.Seq(0); ; calls++ {
		x, err := p.q.(persistence.Expirer).Expired(p.t.Context(), after, maxAge)
		if err != nil || x.More && x.Through <= after {
			p.t.Fatalf("%+v, %v", x, err)
		}
		for _, r := range x.Numbers {
			found.Add(r)
		}
		if !x.Next.IsZero() && (soonest.IsZero() || x.Next.Before(soonest)) {
			soonest = x.Next
		}
		if !x.More {
			break
		}
		after = x.Through
	}
	if !soonest.IsZero() {
		next = soonest.Sub(p.clock.Now()).Round(time.Second)
	}
	return found, next, calls + 1
}

// putMany writes a batch of messages that expire after as many seconds; 0: never.
func (p *clocked) putMany(expiries ...int) {
	p.t.Helper()
	var list []persistence.Entry
	for _, s := range expiries {
		list = append(list, persistence.Entry{Message: types.Message{Topic: "t", Expiry: time.Duration(s) * time.Second}, Enqueued: p.clock.Now()})
	}
	if _, err := p.q.Write(p.t.Context(), persistence.Commit{Messages: list}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *clocked) done(reason types.Reason, numbers ...types.Seq) {
	p.t.Helper()
	var list []persistence.Done
	for _, n := range numbers {
		list = append(list, persistence.Done{Range: persistence.Range{First: n, Last: n}, Reason: reason})
	}
	if _, err := p.q.Write(p.t.Context(), persistence.Commit{Done: list}); err != nil {
		p.t.Fatal(err)
	}
}

func TestExpired(t *testing.T) {
	wants := func(p *clocked, when string, maxAge time.Duration, want string, next time.Duration) {
		t.Helper()
		found, soonest, _ := p.expired(maxAge)
		if fmt.Sprint(found) != want || len(found) == 0 && soonest != next { // else they are to leave first
			t.Errorf("%s: %v have expired, the next in %v; want %s, in %v", when, found, soonest, want, next)
		}
	}
	again := map[string]func(p *clocked){
		"": func(*clocked) {},
		"killed": func(p *clocked) {
			p.kill()
			p.open()
		},
		"closed": func(p *clocked) {
			p.close()
			p.open()
		},
		"rewritten": func(p *clocked) {
			for more := true; more; {
				did, err := p.q.(persistence.Compacter).Compact(p.t.Context(), 1<<20)
				if err != nil {
					p.t.Fatal(err)
				}
				more = did.More
			}
		},
	}
	for name, again := range again {
		t.Run(name, func(t *testing.T) {
			p := newClocked(t)
			p.putMany(0, 0, 100)        // 1 to 3
			p.clock.Advance(10e9)       // 10 s
			p.putMany(0, 0)             // 4, 5
			p.clock.Advance(10e9)       // 20 s
			p.putMany(5, 50, 0, 50, 70) // 6 to 10
			for range 70 {              // so that there is something to rewrite
				p.putMany(0)
			}
			again(p)
			wants(p, "at first", 0, "[]", 5*time.Second)
			wants(p, "at first", 24*time.Second, "[]", 4*time.Second)
			p.clock.Advance(5e9) // 25 s
			again(p)
			wants(p, "the first one", 0, "[{6 6}]", 0)
			p.done(types.Expired, 6)
			wants(p, "behind it", 0, "[]", 45*time.Second)
			wants(p, "all by age", 24*time.Second, "[{1 3}]", 9*time.Second)
			wants(p, "all by age", time.Second, "[{1 5} {7 80}]", 0)
			p.clock.Advance(45e9) // 70 s
			again(p)
			if _, err := p.q.Write(t.Context(), persistence.Commit{Abandoned: []persistence.Done{{Range: persistence.Range{First: 7, Last: 7}, Reason: types.Expired}}}); err != nil {
				t.Fatal(err)
			}
			wants(p, "but for what is abandoned", 0, "[{9 9}]", 0)
			p.done(types.Sent, 9)
			again(p)
			wants(p, "what is left", 0, "[]", 20*time.Second)
			p.clock.Advance(time.Hour)
			wants(p, "at last", 0, "[{3 3} {10 10}]", 0)
		})
	}
}

// To find what has expired next to nothing is read, also after a start: nothing at
// all where nothing can expire.
func TestExpiredReadsLittle(t *testing.T) {
	for _, c := range []struct {
		name            string
		at              int // behind so many times 20 batches comes a message with an expiry; 0: there is none
		maxAge          time.Duration
		running, opened int // batches that are read, at most
	}{
		{"nothing expires", 0, 0, 0, 0},
		{"only by age", 0, time.Hour, 1, 1},
		{"few", 10, 0, 0, 201}, // those that may, once
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newClocked(t)
			for i := range 200 {
				if c.at > 0 && i == c.at {
					p.putMany(1000)
				}
				for range 20 {
					p.put(string(make([]byte, 100)))
				}
			}
			look := func(when string, most int) {
				t.Helper()
				before := p.loads
				for range 5 {
					if found, _, _ := p.expired(c.maxAge); len(found) > 0 {
						t.Fatalf("%v", found)
					}
				}
				if n := p.loads - before; n > most {
					t.Errorf("%s %d batches are read, of %d", when, n, 4000)
				}
			}
			look("running", c.running)
			p.close()
			p.open()
			look("opened", c.opened)
		})
	}
}
