// Package actors holds the actors of the system and the messages they exchange.
//
// Per connection there are two or three: the queue owns a persistence.Queue,
// the connection owns the link to the broker and drains the queue into it, and
// the inbound actor, where something is subscribed, takes what the broker
// sends. The consumers of a queue, where there are any, are one actor, which takes
// the place of the connection. One compactor per System goes over all queues. Each has a sealed
// message interface in messages.go and is reached by a Ref of that type, so
// that a message that an actor does not understand does not compile.
//
// # A message's way out
//
//	caller ──Enqueue──▶ queue ──Write, Sync──▶ store
//	caller ◀──Stored───┘  │ Available
//	                      ▼
//	               connection ──Fetch──▶ queue
//	               connection ◀─Fetched──┘
//	               connection ──Publish─▶ link … Acked
//	               connection ──Settle──▶ queue ──Write──▶ store
//	               connection ◀─Settled──┘
//
// A connection that has fetched everything is given the few messages that come
// next instead of Available, within the limit of its last Fetch.
//
// # Who waits for whom
//
// Mailboxes have no bound; what bounds them is Admission, taken before an
// Enqueue is told and given back when it was answered. Only the queue blocks,
// on its store, but not on the syncs of commits: those run beside it. Everything
// else is told.
//
// # When an actor fails
//
// A panic restarts the actor after a backoff that grows, without a limit to how
// often. Its mailbox is kept. Whoever waits for what was under way is answered
// with types.ErrInterrupted, as is each Enqueue that a queue was told before it
// failed, and whoever waits for a message that an actor never came to, because
// it was stopped, with types.ErrClosed: every Enqueue is answered exactly once. The queue opens its store anew and tells the
// connection, which repeats what it did not see recorded; the connection closes
// its link and begins again with what the queue holds.
package actors
