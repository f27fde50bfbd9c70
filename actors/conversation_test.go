package actors

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

var update = flag.Bool("update", false, "write what happens into testdata/*.txt")

// The files of testdata are conversations of a connection with everything
// around it. A line that is not indented is what happens to the connection; the
// indented ones below it are what it does then. "#" begins a comment.
//
//	start | accept [present] | refuse CODE | fail TEXT | down [TEXT] | hangup | arrives
//	opened LAST [STORE] | available LAST | answer SEQ[/QOS][!][r][c|d][x]… | answer error | supply AFTER SEQ… [ofSTORE] | recall | settled SEQ…
//	brokers NAME… [shared] | client ID | filters FILTER… | wants FILTER… | clean | looks (see brokers_test.go)
//	acked SEQ… | pubrec SEQ… | pubcomp SEQ… | slow | noted [ERROR] | floor SEQ | maxqos QOS | attempts N | written SEQ | suback CODE… | unsuback | time DURATION | pause | resume | retry | rate MESSAGES BYTES | finish DURATION | crash | process [WINDOW]
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := newConversation(t)
			for line := range strings.Lines(string(text)) {
				line = strings.TrimRight(line, "\n")
				switch {
				case strings.HasPrefix(line, "\t"):
				case line == "", strings.HasPrefix(line, "#"):
					c.text.WriteString(line + "\n")
				default:
					c.text.WriteString(line + "\n")
					c.happens(strings.Fields(line))
				}
			}
			if got := c.text.String(); *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("this happened:\n%s\nwanted:\n%s", got, text)
			}
		})
	}
}

// conversation drives the role of a connection by hand.
type conversation struct {
	t     *testing.T
	text  strings.Builder
	clock *testClock
	k     *connectionKeeper
	conn  *connection
	self  Ref[ConnectionMessage]
	box   chan ConnectionMessage

	dials  chan string // what there is to say of a dial
	result chan result
	events func(broker.Event) // of the link
	clean  func(broker.Event) // of the latest clean session
	fetch  Fetch
	status ConnectionStatus
	bad    map[types.Seq]bool
	slow   bool           // Notes of what is released wait for "noted"
	noting []Reply[Noted] // those

	brokers brokers
}

func newConversation(t *testing.T) *conversation {
	c := &conversation{t: t, clock: newTestClock(), box: make(chan ConnectionMessage, 1000), dials: make(chan string, 1), result: make(chan result), bad: map[types.Seq]bool{}}
	c.self = Ref[ConnectionMessage]{&address{name: "test", post: func(m any) { c.box <- m.(ConnectionMessage) }}}
	queue := &Queue{Ref: Ref[QueueMessage]{&address{post: c.toldQueue}}}
	queue.status.Store(&queueStatus{})
	inbound := Ref[InboundMessage]{&address{post: func(m any) { c.says("inbound: %T", m) }}}
	config := ConnectionConfig{
		Name: "test", Dialer: c, Queue: queue, Inbound: inbound, Clock: c.clock, MaxQoS: 2, Window: 3, WindowBytes: 1000,
		Filters: []broker.Filter{{Topic: "cmd/#", QoS: 1}},
		Options: func(context.Context) (broker.ConnectOptions, error) { return c.brokers.options(), nil },
		Backoff: Backoff{Random: func() float64 { return 0.5 }},
	}
	config.setDefaults()
	handle := &Connection{Ref: c.self}
	handle.status.Store(&ConnectionStatus{State: types.Offline, Since: c.clock.Now()})
	c.k = &connectionKeeper{config: config, handle: handle, backoff: config.Backoff, granted: map[string]types.QoS{}, causes: map[types.Seq]string{}}
	c.conn = newConnection(c.k, c.self)
	return c
}

// dialed says of a dial what there is to say.
func (c *conversation) dialed(said string) {
	if said != "" {
		c.says("%s", said)
	}
}

func (c *conversation) says(format string, args ...any) {
	c.text.WriteString("\t" + fmt.Sprintf(format, args...) + "\n")
}

// Dial implements broker.Dialer: it waits for what the conversation says.
func (c *conversation) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	return c.dial(ctx, "", o, events)
}

func (c *conversation) dial(ctx context.Context, said string, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	if o.CleanSession {
		c.clean = events
	} else {
		c.events = events
	}
	c.dials <- said
	select {
	case d := <-c.result:
		return d.link, d.session, d.err
	case <-ctx.Done():
		return nil, broker.Session{}, ctx.Err()
	}
}

func (c *conversation) toldQueue(m any) {
	switch m := m.(type) {
	case Attach:
		c.says("queue: attach")
	case Fetch:
		if !m.drain { // what may be in flight is looked at before there is a link
			m.Reply.answer(Fetched{Through: m.After, Last: m.After}, nil)
			return
		}
		c.fetch = m
		c.says("queue: fetch after %d, %d messages, %d bytes", m.After, m.Limit.Records, m.Limit.Bytes)
	case Settle:
		for _, d := range m.Done {
			line := fmt.Sprintf("queue: %v %s", d.Reason, show(persistence.Ranges{d.Range}))
			if d.Cause != "" {
				line += fmt.Sprintf(" (%s)", d.Cause)
			}
			c.says("%s", line)
		}
	case recalled:
		line := "queue: recalled but for " + show(m.sent)
		if m.unknown {
			line += ", others are not known"
		} else if m.doubt.left > 0 {
			line += fmt.Sprintf(", %d up to %d in doubt", m.doubt.left, m.doubt.upTo)
		}
		c.says("%s", line)
	case ReadMarks:
		m.Reply(c.brokers.marks(), nil)
	case Note:
		if m.Sync && len(m.Marks) == 0 { // told beside the actor, before it dials
			m.Reply(Noted{}, nil)
			return
		}
		c.says("queue: note%s", c.brokers.note(m))
		if (len(m.Released) > 0 || m.Withdrawn && !m.Sync || len(m.Marks) == 0 && m.Abandoned == nil) && c.slow {
			c.noting = append(c.noting, m.Reply)
			return
		}
		m.Reply(Noted{}, nil)
	}
}

func show(set persistence.Ranges) string {
	var list []string
	for _, r := range set {
		if r.First == r.Last {
			list = append(list, fmt.Sprint(r.First))
		} else {
			list = append(list, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return strings.Join(list, " ")
}

// showIDs names the messages that have these packet ids, the first ones.
func showIDs(ids []uint16) string {
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprint((int(id)-1+packetIDs)%packetIDs))
	}
	return strings.Join(list, ", ")
}

// testLink says what it is told.
type testLink struct {
	*conversation
	closed bool
	ends   bool // when it is told to
}

func (l *testLink) Publish(p []broker.Publish) error {
	if l.closed {
		return types.ErrClosed
	}
	var list []string
	for _, p := range p {
		if p.Tag == 0 {
			l.says("link: publish %s %q with id %d", p.Message.Topic, p.Message.Payload, p.ID)
			return nil
		}
		if l.bad[types.Seq(p.Tag)] {
			return errors.New("the protocol cannot carry this")
		}
		s := strconv.FormatUint(p.Tag, 10)
		if p.Message.QoS != 1 {
			s += fmt.Sprint("/", p.Message.QoS)
		}
		if p.Dup {
			s += " dup"
		}
		if p.Message.Retain {
			s += " retain"
		}
		if p.Message.QoS > 0 && p.ID != packetID(types.Seq(p.Tag)) || p.Message.QoS == 0 && p.ID != 0 {
			s += fmt.Sprint(" WITH ID ", p.ID)
		}
		list = append(list, s)
	}
	l.says("link: publish %s", strings.Join(list, ", "))
	return nil
}
func (l *testLink) Release(ids []uint16) error {
	if l.closed {
		return types.ErrClosed
	}
	l.says("link: release %s", showIDs(ids))
	return nil
}
func (l *testLink) Acknowledge([]broker.Ack) error { return nil }
func (l *testLink) Unsubscribe(id uint16, f []string) error {
	l.says("link: unsubscribe %v with id %d", f, id)
	return nil
}
func (l *testLink) Subscribe(id uint16, f []broker.Filter) error {
	l.says("link: subscribe %v with id %d", f, id)
	return nil
}
func (l *testLink) Close(graceful bool) {
	l.closed = true
	l.says("link: close, graceful %v", graceful)
	if l.ends {
		l.clean(broker.Down{})
	}
}

// happens lets one thing happen, and all that follows from it.
func (c *conversation) happens(words []string) {
	word, args := words[0], words[1:]
	numbers := func() (list []types.Seq) {
		for _, a := range args {
			list = append(list, c.number(a))
		}
		return list
	}
	switch word {
	case "supply":
		c.supply(args)
	case "brokers":
		c.brokers.list(c, args)
	case "client":
		c.brokers.client = args[0]
	case "filters":
		c.brokers.filters(c, args)
	case "wants":
		c.conn.receive(SetFilters{List: filtersOf(args)})
	case "clean":
		c.dialEnds(result{link: &testLink{conversation: c, ends: true}})
	case "looks":
		c.dialed(receive(c.t, c.dials, "a look"))
	case "unsuback":
		c.events(broker.Unsubscribed{ID: unsubscribeID})
	case "hangup":
		c.events(broker.Down{Err: broker.ErrHungUp})
	case "start":
		c.conn.started()
	case "accept":
		c.dialEnds(result{link: &testLink{conversation: c}, session: broker.Session{MaxQoS: 2, Present: len(args) > 0}})
	case "refuse":
		c.dialEnds(result{err: &broker.RefusedError{Code: byte(c.number(args[0]))}})
	case "fail":
		c.dialEnds(result{err: errors.New(strings.Join(args, " "))})
	case "down":
		var err error
		if len(args) > 0 {
			err = errors.New(strings.Join(args, " "))
		}
		c.events(broker.Down{Err: err})
	case "opened":
		m := Opened{Last: c.number(args[0]), Store: persistence.StoreID{1}}
		if len(args) > 1 {
			m.Store[0] = byte(c.number(args[1]))
		}
		c.conn.receive(m)
	case "available":
		c.conn.receive(Available{c.number(args[0])})
	case "answer":
		c.answer(args)
	case "recall":
		c.conn.receive(Recall{})
	case "settled":
		var set persistence.Ranges
		for _, n := range numbers() {
			set.Add(persistence.Range{First: n, Last: n})
		}
		c.conn.receive(Settled{set})
	case "acked":
		var e broker.Acked
		for _, n := range numbers() {
			e.Acks = append(e.Acks, broker.Ack{Kind: broker.PubAck, ID: packetID(n)})
		}
		c.events(e)
	case "pubrec", "pubcomp":
		var e broker.Acked
		for _, n := range numbers() {
			e.Acks = append(e.Acks, broker.Ack{Kind: map[string]broker.AckKind{"pubrec": broker.PubRec, "pubcomp": broker.PubComp}[word], ID: packetID(n)})
		}
		c.events(e)
	case "maxqos":
		c.k.config.MaxQoS = types.QoS(c.number(args[0]))
	case "attempts":
		c.k.config.MaxAttempts = int(c.number(args[0]))
	case "floor": // that the queue has written
		c.k.config.Queue.status.Store(&queueStatus{last: persistence.State{Next: 1, Floor: c.number(args[0])}})
	case "slow":
		c.slow = true
	case "noted":
		c.slow = false
		replies := c.noting
		c.noting = nil
		for _, reply := range replies {
			if len(args) > 0 {
				reply(Noted{}, errors.New(strings.Join(args, " ")))
				continue
			}
			reply(Noted{}, nil)
		}
	case "written":
		c.events(broker.Written{Tag: uint64(c.number(args[0]))})
	case "arrives":
		c.events(broker.Received{Packets: []broker.Inbound{{}}})
	case "suback":
		e := broker.Subscribed{ID: subscribeID}
		for _, n := range numbers() {
			e.Codes = append(e.Codes, byte(n))
		}
		c.events(e)
	case "time":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			c.t.Fatal(err)
		}
		c.clock.advance(d)
	case "pause":
		c.conn.receive(Pause{})
	case "resume":
		c.conn.receive(Resume{})
	case "retry":
		c.conn.receive(Retry{})
	case "rate":
		n := numbers()
		c.conn.receive(SetRate{Rate{Messages: int(n[0]), Bytes: int64(n[1])}})
	case "finish":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			c.t.Fatal(err)
		}
		c.conn.receive(Finish{d, func(n int, err error) { c.says("finished, %d in flight, %v", n, err) }})
	case "process": // another one, which knows what is stored
		c.conn.hangUp(false)
		config := c.k.config
		if len(args) > 0 {
			config.Window = int(c.number(args[0]))
		}
		c.k = &connectionKeeper{config: config, handle: c.k.handle, backoff: c.k.config.Backoff, granted: map[string]types.QoS{}, causes: map[types.Seq]string{}}
		c.conn = newConnection(c.k, c.self)
		c.conn.started()
	case "crash":
		c.conn.interrupted(nil)
		c.conn = newConnection(c.k, c.self)
		c.conn.started()
	default:
		c.t.Fatalf("what is %q?", word)
	}
	c.pump()
}

func (c *conversation) number(s string) types.Seq {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return types.Seq(n)
}

// dialed ends the attempt to dial, and waits until the connection was told.
func (c *conversation) dialEnds(d result) {
	select {
	case c.result <- d:
	case <-time.After(testPatience):
		c.t.Fatal("nobody dials")
	}
	for {
		select {
		case m := <-c.box:
			c.conn.receive(m)
			switch m.(type) {
			case dialed, looked:
				return
			}
		case said := <-c.dials: // another broker, or the same again
			c.dialed(said)
			return
		case <-time.After(testPatience):
			c.t.Fatal("nothing comes of dialing")
		}
	}
}

func (c *conversation) answer(args []string) {
	if c.fetch.Reply == nil {
		c.t.Fatal("nothing was fetched")
	}
	reply, after := c.fetch.Reply, c.fetch.After
	c.fetch = Fetch{}
	if len(args) == 1 && args[0] == "error" {
		reply(Fetched{}, errors.New("the store is broken"))
		return
	}
	f := Fetched{Through: after, Last: c.conn.last}
	c.records(&f, args)
	reply(f, nil)
}

// records makes f carry these messages.
func (c *conversation) records(f *Fetched, args []string) {
	for _, a := range args {
		r := persistence.Record{Entry: entry("t", "")}
		a, bad := strings.CutSuffix(a, "x")
		if a, r.Abandoned = strings.CutSuffix(a, "c"); r.Abandoned {
			r.Why = types.Cleared
		} else if a, r.Abandoned = strings.CutSuffix(a, "d"); r.Abandoned {
			r.Why = types.Dead
		}
		a, r.Released = strings.CutSuffix(a, "r")
		if s, retain := strings.CutSuffix(a, "!"); retain {
			a, r.Message.Retain = s, true
		}
		seq, qos, ok := strings.Cut(a, "/")
		if ok {
			r.Message.QoS = types.QoS(c.number(qos))
		}
		r.Seq = c.number(seq)
		f.Through = r.Seq
		f.Records = append(f.Records, r)
		c.bad[r.Seq] = bad
	}
}

// supply gives messages that nobody has fetched.
func (c *conversation) supply(args []string) {
	f := Fetched{Through: c.number(args[0]), Store: c.conn.store}
	if last, other := strings.CutPrefix(args[len(args)-1], "of"); other {
		args, f.Store = args[:len(args)-1], persistence.StoreID{byte(c.number(last))}
	}
	after := f.Through
	c.records(&f, args[1:])
	f.Last = f.Through
	c.conn.receive(supplied{after, f})
}

// pump delivers what the connection told itself, and shows what it published.
func (c *conversation) pump() {
	for {
		for len(c.box) > 0 {
			c.conn.receive(<-c.box)
		}
		c.conn.receive(Available{}) // as any message: nothing may be left to do
		s, old := c.k.handle.Status(), c.status
		c.status = s
		if s.State == old.State && s.LastError == old.LastError && s.NextAttempt == old.NextAttempt && s.Broker == old.Broker {
			return
		}
		line := "state: " + string(s.State)
		if s.Broker != "" {
			line += " at " + s.Broker
		}
		if s.LastError != "" {
			line += fmt.Sprintf(", %q", s.LastError)
		}
		if s.Hint != "" {
			line += fmt.Sprintf(", hint %q", s.Hint)
		}
		if !s.NextAttempt.IsZero() {
			line += fmt.Sprintf(", again in %v", s.NextAttempt.Sub(c.clock.Now()))
		}
		c.says("%s", line)
		if s.State == types.Connecting && old.State != types.Connecting {
			c.dialed(receive(c.t, c.dials, "a dial"))
		}
	}
}
