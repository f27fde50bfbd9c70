// Package mqttdb stores MQTT messages durably and forwards them to brokers that
// are not always there.
//
// A DB has named connections. What is published on one is on disk when Publish
// returns, and is sent to the broker in order, as soon as there is a link to
// it; it is forgotten when the broker has acknowledged it. Nothing of this
// depends on the broker being reachable, or on the process surviving.
//
//	db, err := mqttdb.Open(ctx, mqttdb.Config{
//		DataDir:     "data",
//		Connections: []mqttdb.ConnectionConfig{{Name: "cloud", Broker: "mqtts://broker.example.com"}},
//	})
//	...
//	seq, err := db.Connection("cloud").Publish(ctx, mqttdb.Message{Topic: "t", Payload: data, QoS: 1})
//
// # Publishing
//
// [Connection.Publish] returns when the message is committed: written, and synced
// as ConnectionConfig.Sync demands. [Connection.PublishAsync] does not wait; the
// [Publication] it returns tells when the message is stored, and when it was
// delivered. [Connection.PublishBatch] stores several together. Payloads are
// copied. Many goroutines that publish at once share their syncs, so that each of
// them is slower than one alone by little.
//
// All of them wait while too much is on its way into the store, and end with
// their context. They fail with ErrTooLarge, ErrInvalidTopic or ErrInvalidMessage
// for what can never be taken; with a *StoreError, which has a hint for people,
// while the disk is full or broken; and with ErrInterrupted if the queue failed by
// a bug and was started again: then the message may or may not be stored.
//
// # What is promised
//
// Messages of a connection leave in the order in which they were accepted. At QoS
// 1 each arrives at least once; what was in flight when a link or the process
// ended, at most ConnectionConfig.Window messages, may arrive twice. At QoS 0 each
// is sent at most once in the life of a link. At QoS 2 each arrives exactly once. The
// README has the promises as numbered sentences, and what they depend on.
//
// # Watching, waiting, clearing
//
// [Connection.Status] is a snapshot: the [State] of the link with the last error
// and a hint, and how many messages are pending, in flight, sent. [DB.Watch]
// is a stream of them. [Connection.Drain] waits until nothing is pending. [Connection.Clear]
// forgets what is pending, all or by a [Selection]; what is in flight stays.
// [Connection.Compact] gives back disk space now and not in its turn. Pause
// and Resume end the link for a while; messages are stored all the same.
//
// A message over which the broker ends the link again and again becomes a dead
// letter after ConnectionConfig.MaxAttempts; see [Connection.Messages] and
// [Connection.Requeue].
//
// # Several connections and routes
//
// Publish names the connection, and the topic at its broker: routes do not apply.
// [DB.Forward] goes by the routes instead (ConnectionConfig.Forward): the
// message is stored for every connection that forwards its topic, or for none,
// with prefixes, QoS and envelope as they say. That is what the gateway's local
// broker does for its clients.
//
// A connection forwards what came from another one if its entry says Relay: then the
// broker it came from gets its acknowledgement when the message is stored. Relays in
// a circle are an error.
//
// # Subscribing
//
// [Connection.Subscribe] brings messages of the broker, in order, whether it can be
// reached now or not; what ConnectionConfig.Subscribe does not ask it for is asked for as
// long as there is the [Subscription]. Without a name it gets what comes while it is
// there. With a name it is durable, where Persist.Incoming is on: what is stored from
// then on waits for it, across restarts, until the program acknowledges it
// ([Delivery.Ack]), wants it again ([Delivery.Nak]) or gives it up ([Delivery.Term]: a
// dead letter). Each message is stored once, at QoS 2 exactly once, and is delivered
// at least once: exactly once ends at the commit, for what a program does between
// a delivery and its acknowledgement it may do again after a crash. A message leaves
// when all have acknowledged it: named subscriptions, local sessions, and the
// connections that relay it.
//
// [Subscription.Unsubscribe] or [Connection.RemoveConsumer] end a named subscription;
// Config.SessionExpiry does when nobody has it for so long.
//
// # Brokers, TLS, credentials
//
// The URL is mqtt, mqtts, ws or wss. ConnectionConfig.TLS names certificates in
// files, which are read again for each attempt; [Hooks] let a program make the TLS
// configuration or the network connection itself. ConnectionConfig.Credentials is
// asked for username and password before each attempt. [Probe] tries a connection
// without disturbing one that runs.
//
// # Sending again
//
// With ConnectionConfig.KeepSent what was sent stays stored for a while, and
// [Connection.Replay] sends it again: for a broker that forgot what it had
// acknowledged.
//
// # Changing what runs
//
// [DB.Reload] takes another [Config] and carries out the difference, all or nothing,
// while messages are published and sent.
//
// # Stores and actors
//
// A directory belongs to one DB at a time: opening it again fails with ErrInUse,
// and one that a newer version wrote with ErrNewerFormat, both without a change.
// Config.Store puts the queues elsewhere.
//
// Each connection, queue and compactor is an actor. They run in an actor system
// of their own, or in the host's (Config.System).
//
// Everything may be used concurrently. Close lets what is in flight finish, as
// long as its context allows; what was not sent stays stored.
package mqttdb
