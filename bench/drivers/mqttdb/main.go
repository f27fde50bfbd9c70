// Command mqttdb drives this library: a message is stored when it is committed,
// written and synced.
package main

import (
	"context"
	"strings"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/bench/protocol"
)

func main() { protocol.Main(open) }

type queue struct {
	db   *mqttdb.DB
	conn *mqttdb.Connection
}

func open(ctx context.Context, s protocol.Settings) (protocol.Queue, error) {
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir: s.Dir,
		Connections: []mqttdb.ConnectionConfig{{
			Name: "bench", ClientID: s.ClientID, Broker: strings.Replace(s.Broker, "tcp://", "mqtt://", 1),
		}},
	})
	if err != nil {
		return nil, err
	}
	return &queue{db: db, conn: db.Connection("bench")}, nil
}

func (q *queue) Enqueue(ctx context.Context, topic string, payload []byte) (func() error, error) {
	p, err := q.conn.PublishAsync(ctx, mqttdb.Message{Topic: topic, Payload: payload, QoS: 1})
	if err != nil {
		return nil, err
	}
	return func() error { _, err := p.Stored(ctx); return err }, nil
}

func (q *queue) Pending() int { return int(q.conn.Status().Outgoing.Pending) }

func (q *queue) Close(ctx context.Context) error { return q.db.Close(ctx) }
