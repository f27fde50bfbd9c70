//go:build !js

package mqttdb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
)

var errBusyValve = errors.New("the valve is moving")

// act does what a message asks for.
func act(mqttdb.Message) error { return nil }

// A named subscription gets every message that is stored, until it has acknowledged it.
// What cannot be done now is asked for again, and what never can be is a dead letter.
func ExampleConnection_Subscribe() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "mqttdb-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir: dir,
		Connections: []mqttdb.ConnectionConfig{{
			Name: "cloud", Broker: "mqtt://127.0.0.1:1",
			Persist: config.Persist{Incoming: config.On},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	commands, err := db.Connection("cloud").Subscribe(ctx, mqttdb.SubscribeOptions{
		Name: "valves", Filters: []string{"cmd/valve/#"}, QoS: config.QoS2,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer commands.Close() // what comes now waits for the next one who has it
	go func() {
		for d := range commands.All(ctx) {
			switch err := act(d.Message); {
			case err == nil:
				_ = d.Ack()
			case errors.Is(err, errBusyValve) && d.Attempt < 10:
				_ = d.Nak(5 * time.Second)
			default:
				_ = d.Term(ctx, err.Error())
			}
		}
	}()
	consumers, err := db.Connection("cloud").Consumers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range consumers {
		fmt.Println(c.Kind, c.Name, c.Filters, c.Open, "open,", c.Behind, "behind")
	}
	// Output:
	// local _local [#] 0 open, 0 behind
	// named valves [cmd/valve/#] 0 open, 0 behind
}

// Without a name a subscription gets what comes while it is there.
func ExampleSubscription_Next() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	news, err := db.Connection("cloud").Subscribe(ctx, mqttdb.SubscribeOptions{Filters: []string{"news/#"}})
	if err != nil {
		log.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := news.Next(soon); errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("nothing came")
	}
	news.Close()
	_, err = news.Next(ctx)
	fmt.Println(errors.Is(err, mqttdb.ErrClosed))
	// Output:
	// nothing came
	// true
}

// RemoveConsumer ends a named subscription that nobody will come back to: messages that
// belong to nobody else leave.
func ExampleConnection_RemoveConsumer() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	had, err := db.Connection("cloud").RemoveConsumer(ctx, "valves")
	fmt.Println(had, err)
	// Output: false <nil>
}
