package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Receiver gets what a consumer is given. The actor calls it, one method at a
// time; it must not block, nor wait for the actor.
type Receiver interface {
	// Deliver hands over messages in order of their numbers. Nothing else is for
	// the consumer up to through. What was given before and not acknowledged
	// comes first, from the beginning, after each Join.
	Deliver(list []Delivery, through types.Seq)

	// Recall makes the receiver forget what was delivered and has not left, which
	// is the end of it, and returns the number of the last message that it keeps.
	Recall() (last types.Seq)

	// Ended says that nothing more comes, and why: its place was taken, or the
	// actor failed. What is told with its token is ignored from then on.
	Ended(why error)
}

// Forgetter is a Receiver that keeps what was delivered for as long as it takes, and
// is told when that is of no use any more.
type Forgetter interface {
	Receiver

	// Gone says that a message that was delivered has been removed from the queue. It
	// counts as acknowledged.
	Gone(types.Seq)
}

// Delivery is a message for a consumer.
type Delivery struct {
	Seq     types.Seq
	Message types.Message // as it was stored, but for QoS, which is what the subscription allows
	Origin  types.Origin
	Since   time.Time // when it was accepted, as a time that now can be compared with, whatever the wall clock was set to
	Until   time.Time // when it expires: then it is not to leave; zero: never
	Stored  time.Time // when it was accepted, by the wall clock of then

	Redelivered bool // the consumer may have got it before
	KeepRetain  bool // a subscription that selects it asks for the retain flag as it was published
	Copy        bool // see CopyFor
}

// ConsumersMessage is what the actor of a queue's consumers understands.
type ConsumersMessage interface{ consumersMessage() }

type (
	// Join makes Receiver the one who gets what the named consumer is given; a
	// receiver before it is told Ended. Answer: Joined, when it is recorded that
	// there is such a consumer; deliveries may come before.
	Join struct {
		Name     string
		Clean    bool          // end the one that there is, and make another
		Expiry   time.Duration // it ends when nobody has joined for so long
		Receiver Receiver
		Back     bool  // it was joined before the actor failed: fail if somebody else is now
		Messages int   // not acknowledged at a time, at most
		Bytes    int64 // of them, at most, but one message is always given
		Reply    Reply[Joined]
	}

	// Leave says that the receiver is gone. Messages above Last have not left.
	Leave struct {
		Consumer Token
		End      bool // and the consumer with it
		Last     types.Seq
		State    []byte         // see Acknowledge
		Expiry   *time.Duration // nil: as it was
	}

	// Remove ends a consumer: what belongs to nobody else leaves the queue.
	// Answer, when that is recorded: whether there was one.
	Remove struct {
		Name  string
		Reply Reply[bool]
	}

	// Subscribe adds filters, or replaces those of the same name. They count for
	// all that is stored from now on. Answer, when that is recorded: which ones
	// were new.
	Subscribe struct {
		Consumer Token
		List     []Subscription
		Reply    Reply[[]bool]
	}

	// Unsubscribe removes filters. What was delivered is not taken back. Answer,
	// when that is recorded: which ones were there.
	Unsubscribe struct {
		Consumer Token
		Filters  []string
		Reply    Reply[[]bool]
	}

	// Establish says which consumers there are to be, joined or not, beside those
	// whose names begin with ConsumersConfig.Named: they do not expire. Those that
	// are new get what is stored from now on, as those that stay do by filters that
	// are new; those that are not in the list end. Answer, when that is recorded, as
	// what ConsumersConfig said is then.
	Establish struct {
		List  []Established
		Reply Reply[Noted]
	}

	// ListConsumers asks which consumers there are. Answer: all of them, in order of
	// their names.
	ListConsumers struct{ Reply Reply[[]ConsumerStatus] }

	// Acknowledge says what the consumer is done with, and what State it is in.
	// It is recorded soon and not synced for its own sake, or, if somebody waits
	// for Reply, synced and answered. All of it is recorded together.
	Acknowledge struct {
		Consumer Token
		Done     []types.Seq
		Expired  []types.Seq // it is done with these, too, for they have expired and have not left
		Dead     []Letter    // it is done with these, too, but cannot take them
		State    []byte      // opaque, kept for the next Join; nil: as it was
		Reply    Reply[Noted]
	}

	// removed says that these were removed from the queue by an operator.
	removed struct{ set persistence.Ranges }

	consumerFetched struct {
		life     uint64
		consumer *consumer // nil: for all who have read everything, or the sweep
		token    Token
		sweep    bool
		after    types.Seq // what was asked for a consumer begins behind it
		answer   Fetched
		err      error
	}
	consumersRead struct {
		read  uint64
		last  types.Seq
		marks Marks
		err   error
	}
	consumerNoted struct {
		life uint64
		then func(ours bool, err error) // ours: this role asked for it
		err  error
	}
	consumerExpired struct{ token Token }
	consumersFlush  struct{}
)

// Token names a consumer for the one who has joined it.
type Token struct {
	name   string
	number uint64
}

// Joined answers Join.
type Joined struct {
	Token         Token
	Store         persistence.StoreID // whose numbers are delivered
	Present       bool                // there was such a consumer
	Subscriptions []Subscription
	State         []byte
}

func (Join) consumersMessage()            {}
func (Leave) consumersMessage()           {}
func (Remove) consumersMessage()          {}
func (Subscribe) consumersMessage()       {}
func (Unsubscribe) consumersMessage()     {}
func (Establish) consumersMessage()       {}
func (ListConsumers) consumersMessage()   {}
func (Acknowledge) consumersMessage()     {}
func (Available) consumersMessage()       {}
func (Opened) consumersMessage()          {}
func (Settled) consumersMessage()         {}
func (Recall) consumersMessage()          {}
func (SetMaxAge) consumersMessage()       {}
func (removed) consumersMessage()         {}
func (consumerFetched) consumersMessage() {}
func (consumersRead) consumersMessage()   {}
func (consumerNoted) consumersMessage()   {}
func (consumerExpired) consumersMessage() {}
func (consumersFlush) consumersMessage()  {}

// copySource begins the origin of a message that is for one consumer.
const copySource = "for:"

// CopyFor is the origin of a message that is for the named consumer only: a
// retained message that it gets for a new subscription. It has to be selected by
// a subscription like others.
func CopyFor(name string, id uint64) types.Origin {
	return types.Origin{Source: copySource + name, ID: id}
}

// rangeOf is the run of one number.
func rangeOf(seq types.Seq) persistence.Range { return persistence.Range{First: seq, Last: seq} }
