// Command filestore drives the client of paho.mqtt.golang with its FileStore: a
// message is stored when Publish returns, its file being written and renamed, and
// not synced.
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func main() { protocol.Main(open) }

type queue struct {
	client mqtt.Client
	dir    string
}

func open(_ context.Context, s protocol.Settings) (protocol.Queue, error) {
	o := mqtt.NewClientOptions().AddBroker(s.Broker).SetClientID(s.ClientID).
		SetCleanSession(false).SetStore(mqtt.NewFileStore(s.Dir)).SetOrderMatters(true).
		SetConnectRetry(true).SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(time.Second)
	q := &queue{client: mqtt.NewClient(o), dir: s.Dir}
	q.client.Connect()
	return q, nil
}

func (q *queue) Enqueue(_ context.Context, topic string, payload []byte) (func() error, error) {
	token := q.client.Publish(topic, 1, false, append([]byte(nil), payload...))
	select {
	case <-token.Done(): // refused, or acknowledged by the broker already
		return nil, token.Error()
	default:
		return nil, nil
	}
}

// Pending counts the files: the client does not tell.
func (q *queue) Pending() int {
	files, err := os.ReadDir(q.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return -1
	}
	n := 0
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "o.") && strings.HasSuffix(f.Name(), ".msg") {
			n++
		}
	}
	return n
}

func (q *queue) Close(context.Context) error {
	q.client.Disconnect(250)
	return nil
}
