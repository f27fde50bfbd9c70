//go:build !js

package mqttdb_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
)

// openExample opens a DB in a directory of its own, with a broker that is not
// there.
func openExample(ctx context.Context) (*mqttdb.DB, func()) {
	dir, err := os.MkdirTemp("", "mqttdb-example")
	if err != nil {
		log.Fatal(err)
	}
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir:     dir,
		Connections: []mqttdb.ConnectionConfig{{Name: "cloud", Broker: "mqtt://127.0.0.1:1"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		db.Close(ctx)
		os.RemoveAll(dir)
	}
}

// Publish returns when the message is on disk, whether the broker can be
// reached or not.
func ExampleOpen() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	seq, err := db.Connection("cloud").Publish(ctx, mqttdb.Message{Topic: "t", Payload: []byte("x"), QoS: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(seq, db.Connection("cloud").Status().Outgoing.Pending)
	// Output: 1 1
}

// What cannot be taken is an error to act on.
func ExampleConnection_Publish() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	cloud := db.Connection("cloud")
	for _, topic := range []string{"sensors/1", "sensors/#"} {
		seq, err := cloud.Publish(ctx, mqttdb.Message{Topic: topic, Payload: []byte("21.5"), QoS: 1})
		var store *mqttdb.StoreError
		switch {
		case err == nil:
			fmt.Println("stored as number", seq)
		case errors.Is(err, mqttdb.ErrInvalidTopic), errors.Is(err, mqttdb.ErrTooLarge):
			fmt.Println("never:", err)
		case errors.As(err, &store):
			fmt.Println("not now:", store.Hint)
		default:
			log.Fatal(err)
		}
	}
	// Output:
	// stored as number 1
	// never: invalid topic "sensors/#": wildcards (+ and #) are for filters
}

// A Publication tells when its message was stored, and when it was delivered.
func ExampleConnection_PublishAsync() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	p, err := db.Connection("cloud").PublishAsync(ctx, mqttdb.Message{Topic: "t", QoS: 1})
	if err != nil {
		log.Fatal(err)
	}
	seq, err := p.Stored(ctx)
	fmt.Println("stored", seq, err)
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println("delivered:", p.Delivered(soon))
	// Output:
	// stored 1 <nil>
	// delivered: context deadline exceeded
}

// Clear forgets what waits, here the messages of one kind.
func ExampleConnection_Clear() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	for _, topic := range []string{"alarm/1", "debug/1", "debug/2"} {
		if _, err := db.Connection("cloud").Publish(ctx, mqttdb.Message{Topic: topic, QoS: 1}); err != nil {
			log.Fatal(err)
		}
	}
	n, err := db.Connection("cloud").Clear(ctx, mqttdb.Selection{Filter: "debug/#"})
	fmt.Println(n, err, db.Connection("cloud").Status().Outgoing.Pending)
	// Output: 2 <nil> 1
}

// Reload changes connections while they run. What cannot be changed, or is wrong,
// changes nothing.
func ExampleDB_Reload() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	_, err := db.Reload(ctx, mqttdb.Config{DataDir: "/elsewhere"})
	fmt.Println(err)
	// Output: data_dir: cannot be changed while mqttdb runs: restart it, or change it back
}

// Forward stores a message for every connection whose routes select it; each has
// a Publication.
func ExampleDB_Forward() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	publications, err := db.Forward(ctx, mqttdb.Message{Topic: "sensors/1", Payload: []byte("x"), QoS: 1})
	if err != nil {
		log.Fatal(err)
	}
	for connection, p := range publications {
		seq, _ := p.Stored(ctx) // at once; Delivered would wait for the broker
		fmt.Println(connection, seq)
	}
	// Output: cloud 1
}

// Drain waits until everything was delivered: before a program ends, for
// example. What is left when the time is over stays stored.
func ExampleConnection_Drain() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	cloud := db.Connection("cloud")
	if _, err := cloud.Publish(ctx, mqttdb.Message{Topic: "t", QoS: 1}); err != nil {
		log.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(cloud.Drain(soon))
	// Output: drain cloud: 1 messages are left: context deadline exceeded
}

// Status is a snapshot of one connection.
func ExampleConnection_Status() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	cloud := db.Connection("cloud")
	if err := cloud.Pause(); err != nil {
		log.Fatal(err)
	}
	if _, err := cloud.Publish(ctx, mqttdb.Message{Topic: "t", QoS: 1}); err != nil {
		log.Fatal(err)
	}
	s := cloud.Status()
	fmt.Println(s.Name, s.Outgoing.Pending, s.Outgoing.Accepted, s.Outgoing.Sent)
	if s.LastError != "" {
		log.Printf("%s is %s: %s (%s)", s.Name, s.State, s.LastError, s.Hint)
	}
	// Output: cloud 1 1 0
}

// Watch is a stream of statuses: now and after changes, at most four times a
// second. It ends with its context.
func ExampleDB_Watch() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	go func() {
		for range 3 {
			if _, err := db.Connection("cloud").Publish(ctx, mqttdb.Message{Topic: "t", QoS: 1}); err != nil {
				log.Print(err)
			}
		}
	}()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	for statuses := range db.Watch(watching) {
		i := slices.IndexFunc(statuses, func(s mqttdb.Status) bool { return s.Name == "cloud" })
		if statuses[i].Outgoing.Pending == 3 {
			fmt.Println("three are pending")
			break
		}
	}
	// Output: three are pending
}

// Several connections: Forward stores a message for every one whose routes select
// its topic, or for none.
func ExampleDB_Forward_routes() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "mqttdb-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir: dir,
		Connections: []mqttdb.ConnectionConfig{
			{Name: "archive", Broker: "mqtt://127.0.0.1:1"}, // everything
			{Name: "cloud", Broker: "mqtt://127.0.0.1:1", Forward: []config.Forward{
				{Topic: "alarms/#", RemotePrefix: "site1/", QoS: config.QoS1, Envelope: config.EnvelopeJSON},
			}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	for _, topic := range []string{"alarms/fire", "sensors/1"} {
		stored, err := db.Forward(ctx, mqttdb.Message{Topic: topic, Payload: []byte("1")})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(topic, "goes to", len(stored))
	}
	for _, c := range db.Connections() {
		fmt.Println(c.Name(), c.Status().Outgoing.Pending)
	}
	// Output:
	// alarms/fire goes to 2
	// sensors/1 goes to 1
	// archive 2
	// cloud 1
}

// Two brokers, and what one sends is relayed to the other. The messages also
// reach the program.
func ExampleDB_Deliver() {
	ctx := context.Background()
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir: "data",
		Connections: []mqttdb.ConnectionConfig{
			{
				Name: "plant", Broker: "mqtt://plant.example.com", Forward: []config.Forward{},
				Subscribe: []config.Subscribe{{Topic: "sensors/#", LocalPrefix: "plant/"}},
			},
			{
				Name: "cloud", Broker: "mqtts://cloud.example.com",
				Forward: []config.Forward{{Topic: "sensors/#", LocalPrefix: "plant/", RemotePrefix: "site1/", Relay: true}},
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	db.Deliver(func(m mqttdb.Message) { log.Printf("%s: %d bytes", m.Topic, len(m.Payload)) })
}

// Hooks take part in how brokers are reached: here with a certificate that lies in
// no file, and a password that is fetched anew for each attempt.
func ExampleHooks() {
	ctx := context.Background()
	var certificate tls.Certificate // from a TPM, say
	roots := x509.NewCertPool()
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir: "data",
		Connections: []mqttdb.ConnectionConfig{{
			Name: "cloud", Broker: "mqtts://broker.example.com",
			Credentials: func(ctx context.Context) (string, config.Secret, error) {
				return "gateway", config.SecretFrom([]byte("fetched for this attempt")), nil
			},
		}},
		Hooks: mqttdb.Hooks{TLS: func(connection string, c *tls.Config) error {
			c.RootCAs = roots
			c.Certificates = []tls.Certificate{certificate}
			return nil
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
}

// Probe says whether a broker can be used, and what to do if not.
func ExampleProbe() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := mqttdb.Probe(ctx, mqttdb.ConnectionConfig{Name: "cloud", Broker: "mqtt://127.0.0.1:1"}, mqttdb.Hooks{})
	fmt.Println(err)
	// Output: mqtt://127.0.0.1:1: connect to 127.0.0.1:1: connection refused (nothing listens there: check the port, and that the broker runs)
}
