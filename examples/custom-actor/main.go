// Command custom-actor runs mqttdb in the actor system of a host program: a
// sensor actor of the host's publishes through a connection whose actors live
// beside it, and which outlive nothing but mqttdb's own Close.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb"
)

// reading is what the sensor is told to publish.
type reading struct{ celsius float64 }

// sensor is an actor of the host's. It must not block, so it publishes
// asynchronously and leaves the waiting to somebody else.
type sensor struct {
	conn      *mqttdb.Connection
	published chan<- *mqttdb.Publication
}

// Receive implements actor.Actor.
func (s *sensor) Receive(c actor.Context) {
	if r, ok := c.Message().(reading); ok {
		p, err := s.conn.PublishAsync(context.Background(), mqttdb.Message{
			Topic: "plant/temperature", Payload: fmt.Appendf(nil, "%.1f", r.celsius), QoS: 1,
		})
		if err != nil {
			log.Print(err)
			return
		}
		s.published <- p
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	host := actor.NewActorSystem()
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir:     "custom-actor-data",
		Connections: []mqttdb.ConnectionConfig{{Name: "cloud", Broker: "mqtt://127.0.0.1:1883"}},
		System:      host,
	})
	if err != nil {
		log.Fatal(err)
	}
	published := make(chan *mqttdb.Publication, 16)
	pid := host.Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
		return &sensor{db.Connection("cloud"), published}
	}))
	host.Root.Send(pid, reading{21.5})
	seq, err := (<-published).Stored(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("message %d is on disk; these actors run: %v\n", seq, db.Running())
	if err := db.Close(ctx); err != nil {
		log.Fatal(err)
	}
	host.Root.Stop(pid) // the host's system goes on until the host ends it
	host.Shutdown()
}
