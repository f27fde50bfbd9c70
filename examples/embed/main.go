// Command embed stores a message and sends it when the broker can be reached.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/mqttdb/mqttdb"
)

func main() {
	ctx := context.Background()
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir:     "embed-data",
		Connections: []mqttdb.ConnectionConfig{{Name: "cloud", Broker: "mqtt://127.0.0.1:1883"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	seq, err := db.Connection("cloud").Publish(ctx, mqttdb.Message{Topic: "hello", Payload: []byte("world"), QoS: 1})
	if err != nil {
		log.Fatal(err)
	}
	status := db.Connection("cloud").Status()
	fmt.Printf("message %d is on disk; %d pending, the connection is %s\n", seq, status.Outgoing.Pending, status.State)
}
