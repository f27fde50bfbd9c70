package types

import "fmt"

// Reason says how a message left its queue. Every accepted message leaves
// under exactly one, so that the books balance: accepted = the sum over all
// reasons + pending.
type Reason uint8

const (
	Sent        Reason = iota // the other side acknowledged it
	Dropped                   // pushed out at a limit
	Expired                   // too old to be worth delivering
	Cleared                   // removed by an operator
	Dead                      // set aside, the broker would not take it
	Quarantined               // accepted, then found missing or unreadable
	reasons
)

// Reasons is the number of reasons; a Reason is below it.
const Reasons = int(reasons)

var reasonNames = [Reasons]string{"sent", "dropped", "expired", "cleared", "dead", "quarantined"}

func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}
