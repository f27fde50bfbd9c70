package actors

import (
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Subscription is a filter of a consumer.
type Subscription struct {
	Filter     string
	QoS        types.QoS // deliver with at most this; at 0 nothing that is stored is meant
	NoLocal    bool      // not what the consumer itself has published
	KeepRetain bool

	// From is the first number that the subscription counts for. The actor fills
	// it in.
	From types.Seq
}

// selects says whether s means the stored message of that number and origin.
func (s Subscription) selects(seq types.Seq, origin, name string) bool {
	return s.QoS > 0 && seq >= s.From && (!s.NoLocal || origin != publishedBy+name)
}

// or is what two subscriptions of one consumer that select a message come to
// [MQTT-3.3.5-1].
func (s Subscription) or(o Subscription) Subscription {
	s.QoS, s.KeepRetain = max(s.QoS, o.QoS), s.KeepRetain || o.KeepRetain
	return s
}

// publishedBy begins the origin of what a local client has published.
const publishedBy = "client:"

// PublishedBy is the source of the origin of what that local client publishes.
func PublishedBy(client string) string { return publishedBy + client }

// consumer is what is known of one reader of a queue. What it is done with is
// everything up to through but what is open, so that the messages it was never
// to get need no memory, and those that it has not got up to now neither.
type consumer struct {
	name    string
	filters map[string]Subscription
	cursor
	expiry time.Duration
	left   time.Time // when the last receiver left; zero while there is one
	size   int       // of its marks, in bytes, of which
	fixed  int       // do not change but with the subscriptions

	narrowed bool // it has lost a subscription that may have selected what is open

	// While somebody has joined.
	receiver Receiver
	token    Token
	messages int // the limits of Join
	bytes    int64
	given    map[types.Seq]given
	held     int64     // bytes of given
	joined   types.Seq // through, at the beginning
	suspects int       // so many more may have been delivered before the crash that ended the last receiver; see unknownSuspects
	batch    []Delivery
	touched  bool      // it is to be told something
	live     bool      // it has been given everything that the actor has read
	read     types.Seq // if it is not live: where it stands; it was given what is open up to there, too
	fetching bool
	stride   int // messages to ask for

	visit uint64 // see consumerIndex
	slot  int

	expires func() // stops the timer while nobody has joined
	dirty   bool   // the cursor is to be recorded
}

// cursor is how far a consumer is.
type cursor struct {
	through types.Seq
	open    persistence.Ranges // given, up to through, and not acknowledged
	state   []byte             // of the receiver, opaque
}

// given is what is kept of a message until it is acknowledged.
type given struct {
	topic, origin string
	size          int64
}

// upTo is the number up to which the consumer was given all that is its own; head
// is how far the actor has read.
func (c *consumer) upTo(head types.Seq) types.Seq {
	if c.live {
		return max(c.through, head)
	}
	return c.through
}

// needs says whether the consumer, whom a subscription makes the message its own,
// has still to acknowledge it.
func (c *consumer) needs(seq, head types.Seq) bool {
	return seq > c.upTo(head) || c.open.Contains(seq)
}

// room says whether another message may be given.
func (c *consumer) room() bool {
	return c.receiver != nil && len(c.given) < c.messages && (c.held < c.bytes || len(c.given) == 0)
}

// give notes a message as given and adds it to the batch.
func (c *consumer) give(r *persistence.Record, s Subscription, until time.Time) {
	d := Delivery{
		Seq: r.Seq, Message: r.Message, Origin: r.Origin, Since: r.Since, Until: until, Stored: r.Enqueued,
		KeepRetain: s.KeepRetain, Copy: strings.HasPrefix(r.Origin.Source, copySource),
	}
	d.Message.QoS = min(d.Message.QoS, s.QoS)
	d.Redelivered = r.Seq <= c.joined
	if c.suspects > 0 {
		c.suspects--
		d.Redelivered = true
	}
	g := given{r.Message.Topic, r.Origin.Source, int64(r.Message.Size())}
	c.given[r.Seq] = g
	c.held += g.size
	c.open.Add(rangeOf(r.Seq))
	c.batch = append(c.batch, d)
}

// acknowledge takes a message out of what is open and returns what was kept of
// it; ok is false if it was not open.
func (c *consumer) acknowledge(seq types.Seq) (g given, ok bool) {
	if g, ok = c.given[seq]; !ok {
		return g, false
	}
	delete(c.given, seq)
	c.held -= g.size
	c.open.Remove(rangeOf(seq))
	return g, true
}

// start begins to deliver: what is open first.
func (c *consumer) start() {
	c.given, c.held, c.batch = make(map[types.Seq]given), 0, nil
	c.live, c.fetching, c.stride = false, false, 0
	c.joined, c.read = c.through, c.through
	if len(c.open) > 0 {
		c.read = c.open[0].First - 1
	}
}

// passed notes that everything up to seq was read and given as far as it is the
// consumer's; before is where it stood. What is open there and did not come is no
// longer in the queue.
func (c *consumer) passed(before, seq types.Seq) {
	var gone persistence.Ranges
	for _, r := range c.open {
		for s := max(r.First, before+1); s <= min(r.Last, seq); s++ {
			if _, came := c.given[s]; !came {
				gone.Add(rangeOf(s))
			}
		}
	}
	for _, r := range gone {
		c.open.Remove(r)
	}
	c.read = max(c.read, seq)
	c.through = max(c.through, c.read)
}

// fallBehind notes that there is no room for a message that comes next.
func (c *consumer) fallBehind(next types.Seq) {
	c.live = false
	c.through = max(c.through, next-1)
	c.read = c.through
}

// forget takes back what was given above last. Unless it is known from before the
// receiver joined it counts as never given; in any case it is given again.
func (c *consumer) forget(last, head types.Seq) {
	upTo := c.upTo(head)
	keep := max(last, c.joined)
	if !c.live && c.read < c.through { // it has got nothing new
		keep = upTo
	}
	if c.live {
		c.read = upTo
	}
	c.live, c.through = false, min(upTo, keep)
	c.open.Remove(persistence.Range{First: c.through + 1, Last: all})
	c.read = min(c.read, c.through)
	for seq, g := range c.given {
		if seq > last {
			delete(c.given, seq)
			c.held -= g.size
			c.read = min(c.read, seq-1)
		}
	}
}

// stop ends what only counts while somebody has joined.
func (c *consumer) stop() {
	c.receiver, c.given, c.batch, c.held = nil, nil, nil, 0
	c.token, c.suspects = Token{}, 0
}
