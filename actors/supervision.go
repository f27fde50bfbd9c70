package actors

import (
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// restart is the supervision of all our actors: whatever failed is started
// again after a wait, however often. It is a comparable value, so that all
// actors of a System share one guardian.
type restart struct {
	log        *slog.Logger
	first, max time.Duration
}

var _ actor.SupervisorStrategy = restart{}

// A failure is forgotten after this time.
const failureMemory = time.Minute

// mostFailures is how many failures are remembered of an actor.
const mostFailures = 32

// HandleFailure implements actor.SupervisorStrategy. It is called on the stack
// of what failed.
func (r restart) HandleFailure(system *actor.ActorSystem, s actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, _ any) {
	failures := rs.NumberOfFailures(failureMemory)
	if failures == 0 || rs.FailureCount() >= 2*mostFailures {
		rs.Reset()
		for range min(failures, mostFailures) {
			rs.Fail()
		}
	}
	rs.Fail()
	wait := r.wait(failures)
	r.log.Error("actor failed, it is started again", "actor", child.Id, "reason", reason, "after", wait, "stack", string(debug.Stack()))
	system.EventStream.Publish(&actor.SupervisorEvent{Child: child, Reason: reason, Directive: actor.RestartDirective})
	time.AfterFunc(wait, func() { s.RestartChildren(child) })
}

// wait is how long to wait after that many earlier failures.
func (r restart) wait(earlier int) time.Duration {
	if earlier < 30 && r.first<<earlier < r.max {
		return r.first << earlier
	}
	return r.max
}
