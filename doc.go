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
// Each connection, queue and compactor is an actor. They run in an actor system
// of their own, or in the host's (Config.System).
package mqttdb
