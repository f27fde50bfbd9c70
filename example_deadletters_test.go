//go:build !js

package mqttdb_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb"
)

// rejectingBroker is a broker that hangs up on each PUBLISH, as brokers do that
// do not take a message.
func rejectingBroker() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			if _, err := packets.ReadPacket(in); err == nil { // CONNECT
				_ = packets.NewControlPacket(packets.Connack).Write(conn)
				_, _ = packets.ReadPacket(in) // PUBLISH
			}
			conn.Close()
		}
	}()
	return l
}

// A message that the broker does not take becomes a dead letter after some
// attempts: the others go on, and it can be looked at, sent again or forgotten.
func ExampleConnection_Messages() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "mqttdb-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	broker := rejectingBroker()
	defer broker.Close()
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir:     dir,
		Connections: []mqttdb.ConnectionConfig{{Name: "cloud", Broker: "mqtt://" + broker.Addr().String(), MaxAttempts: 1}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	cloud := db.Connection("cloud")

	p, err := cloud.PublishAsync(ctx, mqttdb.Message{Topic: "not/allowed", Payload: []byte("x"), QoS: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Delivered(ctx)) // waits until it has left the queue

	letters, err := cloud.Messages(ctx, mqttdb.DeadLetters, 0, 100)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range letters {
		fmt.Println(m.Seq, m.Message.Topic, m.Cause != "")
	}
	again, err := cloud.Requeue(ctx, mqttdb.DeadLetters, letters[0].Seq) // behind all others
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent again as message", again)
	// Output:
	// not delivered: it became a dead letter
	// 1 not/allowed true
	// sent again as message 2
}

// What waits to be sent can be forgotten message by message.
func ExampleConnection_Remove() {
	ctx := context.Background()
	db, done := openExample(ctx)
	defer done()
	cloud := db.Connection("cloud")
	for _, text := range []string{"one", "two", "three"} {
		if _, err := cloud.Publish(ctx, mqttdb.Message{Topic: "t", Payload: []byte(text), QoS: 1}); err != nil {
			log.Fatal(err)
		}
	}
	if err := cloud.Remove(ctx, mqttdb.Outgoing, 2); err != nil {
		log.Fatal(err)
	}
	pending, err := cloud.Messages(ctx, mqttdb.Outgoing, 0, 100)
	for _, m := range pending {
		fmt.Println(m.Seq, string(m.Message.Payload))
	}
	fmt.Println(err)
	// Output:
	// 1 one
	// 3 three
	// <nil>
}
