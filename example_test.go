//go:build !js

package mqttdb_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mqttdb/mqttdb"
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
