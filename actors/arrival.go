package actors

import (
	"sync/atomic"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// arrival is a message from the broker that is not acknowledged yet.
type arrival struct {
	id   uint16
	qos  types.QoS   // that it came with
	link broker.Link // that it came over
	size int         // in memory, nearly, in bytes

	stage   arrivalStage
	wanted  bool          // it is to be stored and delivered
	message types.Message // as those here know it
	number  uint64

	settling *settlements
	answered atomic.Bool // Store has: err is set
	err      error
}

// arrivalSize is what an arrival takes beside its message, about, in bytes.
const arrivalSize = 256

// arrivalStage is how far an arrival has come.
type arrivalStage uint8

const (
	inLine    arrivalStage = iota
	underWay               // Store has it
	givenBack              // by Store, with an error
	through                // it is stored, or there was nothing to store
)

// settlements tells an inbound, once for many, that some of its arrivals were
// answered.
type settlements struct {
	self   Ref[InboundMessage]
	told   atomic.Bool // or the actor is going to look by itself
	failed atomic.Bool // one of them was answered with an error
}

// answer takes the answer of Store, on any goroutine.
func (a *arrival) answer(err error) {
	s := a.settling
	if err != nil {
		a.err = err
		s.failed.Store(true)
	}
	a.answered.Store(true)
	if !s.told.Swap(true) {
		s.self.Tell(answeredSome{})
	}
}

// begin spares the actor messages about what it will see when it has called end.
func (s *settlements) begin() { s.told.Store(true) }

func (s *settlements) end() { s.told.Store(false) }
